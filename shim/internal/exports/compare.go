package exports

import (
	"fmt"
	"go/types"
	"strings"
)

// Differences says what a program that changes its import from one package to another would miss: names, types that are not the same, parameters,
// results, fields and methods. own are the types that the other package defines itself, by name; where they stand in a signature, their namesakes match.
func Differences(original, other *types.Package, own ...string) []string {
	c := comparison{original, other, map[string]bool{}}
	for _, name := range own {
		c.own[name] = true
	}
	var all []string
	for _, name := range original.Scope().Names() {
		if want := original.Scope().Lookup(name); want.Exported() {
			if problem := c.object(want, other.Scope().Lookup(name)); problem != "" {
				all = append(all, name+": "+problem)
			}
		}
	}
	for _, name := range own {
		all = append(all, c.members(original.Scope().Lookup(name), other.Scope().Lookup(name))...)
	}
	return all
}

type comparison struct {
	original, other *types.Package
	own             map[string]bool
}

func (c comparison) object(want, got types.Object) string {
	if got == nil {
		return "is missing"
	}
	if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return fmt.Sprintf("is a %T and not a %T", got, want)
	}
	if c.own[want.Name()] {
		return ""
	}
	if constant, ok := want.(*types.Const); ok && constant.Val().ExactString() != got.(*types.Const).Val().ExactString() {
		return "has another value"
	}
	if w, g := c.spell(want.Type()), c.spell(got.Type()); w != g {
		return "is " + g + " and not " + w
	}
	return ""
}

// members compares fields and methods of two types that each package defines itself.
func (c comparison) members(want, got types.Object) []string {
	if want == nil || got == nil {
		return nil
	}
	var all []string
	methods, has := types.NewMethodSet(types.NewPointer(want.Type())), types.NewMethodSet(types.NewPointer(got.Type()))
	for i := range methods.Len() {
		method := methods.At(i).Obj()
		if !method.Exported() {
			continue
		}
		if found := has.Lookup(c.other, method.Name()); found == nil {
			all = append(all, want.Name()+"."+method.Name()+": is missing")
		} else if w, g := c.spell(method.Type()), c.spell(found.Obj().Type()); w != g {
			all = append(all, want.Name()+"."+method.Name()+": is "+g+" and not "+w)
		}
	}
	for _, field := range fields(want.Type()) {
		found, _, _ := types.LookupFieldOrMethod(got.Type(), true, c.other, field.Name())
		if variable, ok := found.(*types.Var); !ok {
			all = append(all, want.Name()+"."+field.Name()+": is missing")
		} else if w, g := c.spell(field.Type()), c.spell(variable.Type()); w != g {
			all = append(all, want.Name()+"."+field.Name()+": is "+g+" and not "+w)
		}
	}
	return all
}

// fields are the exported fields that a program can name, those of embedded structs too; embedded structs by themselves are not.
func fields(t types.Type) []*types.Var {
	if pointer, ok := t.Underlying().(*types.Pointer); ok {
		t = pointer.Elem()
	}
	of, ok := t.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	var all []*types.Var
	for field := range of.Fields() {
		switch {
		case field.Embedded():
			all = append(all, fields(field.Type())...)
		case field.Exported():
			all = append(all, field)
		}
	}
	return all
}

// spell writes a type without the names of parameters. The own types of both packages are written alike.
func (c comparison) spell(t types.Type) string {
	if signature, ok := t.(*types.Signature); ok {
		var b strings.Builder
		b.WriteString("func(")
		for v := range signature.Params().Variables() {
			b.WriteString(c.spell(v.Type()) + ",")
		}
		fmt.Fprintf(&b, " %t)(", signature.Variadic())
		for v := range signature.Results().Variables() {
			b.WriteString(c.spell(v.Type()) + ",")
		}
		return b.String() + ")"
	}
	text := types.TypeString(types.Unalias(t), func(p *types.Package) string {
		if p.Path() == c.other.Path() {
			return c.original.Path()
		}
		return p.Path()
	})
	return strings.ReplaceAll(text, "interface{}", "any")
}
