// Package terraform rewrites Terraform configuration after keys and secrets were moved into a KMS instance: it names the instance, puts new
// key ids where old ones stand, and guards against the destroy-and-create that an apply of the old configuration would be.
//
// [Rewrite] changes one file. It keeps comments and formatting, returns files without anything to change byte for byte, and never touches what
// it does not understand: that it reports.
//
// Source: Modify the configuration in a Terraform scenario after migration. dkms_instance_id and protection_level force a new resource, and
// the old provider's defaults differ from what a moved key has. Which attributes of the other kinds force a new resource is what the provider's
// documentation says. [Kinds] lists them.
package terraform

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/zclconf/go-cty/cty"
)

// Options say what moved where.
type Options struct {
	// Instance is the id of the instance: kst-…. Empty: dkms_instance_id is not written, only ignored, which is what providers up to 1.235.0 need.
	Instance string
	// Only are the addresses that moved: alicloud_kms_key.orders. Empty: all.
	Only []string
	// Keys lead from the id of each old key to the one that takes its place, as the keys of a key map do. Empty where keys keep their ids, as
	// they do with the migration tool and with a restore.
	Keys map[string]string
}

// Result is a rewritten file.
type Result struct {
	Text    []byte   // what was given, where nothing is to be changed
	Changed []string // addresses that were changed
	Left    []string // what was not understood, and why; line by line: "main.tf:12: …"
}

// Rewrite returns the file as it has to be after the move. A file that is no Terraform configuration is an error that names the place.
func Rewrite(name string, text []byte, o Options) (Result, error) {
	if o.Instance != "" && !strings.HasPrefix(o.Instance, "kst-") {
		return Result{}, fmt.Errorf("terraform: %q is not an instance id: it begins with kst-", o.Instance)
	}
	if strings.HasSuffix(name, ".json") {
		if !bytes.Contains(text, []byte("alicloud_kms_")) {
			return Result{Text: text}, nil
		}
		return Result{Text: text, Left: []string{name + ":1: JSON syntax is not rewritten"}}, nil
	}
	file, diags := hclwrite.ParseConfig(text, name, hcl.InitialPos)
	if diags.HasErrors() {
		return Result{}, fmt.Errorf("terraform: %w", diags)
	}
	places, err := positions(name, text)
	if err != nil {
		return Result{}, err
	}
	r := Result{Text: text}
	var out []byte
	done := 0 // bytes of text that are in out
	for i, block := range file.Body().Blocks() {
		labels := block.Labels()
		if block.Type() != "resource" && block.Type() != "data" || len(labels) != 2 || !strings.HasPrefix(labels[0], "alicloud_kms_") {
			continue
		}
		address := labels[0] + "." + labels[1]
		if block.Type() == "data" {
			address = "data." + address
		}
		if len(o.Only) > 0 && !slices.Contains(o.Only, address) {
			continue
		}
		left := func(why string) {
			r.Left = append(r.Left, fmt.Sprintf("%s:%d: %s: %s", name, places[i].Start.Line, address, why))
		}
		if block.Type() == "data" {
			if note, ok := data[labels[0]]; ok {
				left(note)
			}
			continue
		}
		k, known := kinds[labels[0]]
		if !known {
			left("this kind of resource is not known here, and is left as it is")
			continue
		}
		if k.note != "" {
			left(k.note)
		}
		guarded := guard(block.Body(), k, o.Instance, left)
		if renamed := rename(block.Body(), k, o.Keys, left); guarded || renamed {
			rewritten := canonical(block)
			if _, diags := hclsyntax.ParseConfig(rewritten, name, hcl.InitialPos); diags.HasErrors() {
				left("a block of one line cannot hold more: break it into lines first")
				continue
			}
			r.Changed = append(r.Changed, address)
			// Only the resource is put into canonical form: the rest of the file is left as its owner has it.
			out = append(out, text[done:places[i].Start.Byte]...)
			out = append(out, rewritten...)
			done = places[i].End.Byte
		}
	}
	if len(r.Changed) > 0 {
		out = append(out, text[done:]...)
		r.Text = out
	}
	return r, nil
}

// canonical returns a block without the comments before it, which stay where they are, and without the line's end.
func canonical(block *hclwrite.Block) []byte {
	tokens := block.BuildTokens(nil)
	for len(tokens) > 0 && tokens[0].Type != hclsyntax.TokenIdent {
		tokens = tokens[1:]
	}
	return bytes.TrimSpace(hclwrite.Format(tokens.Bytes()))
}

// positions are where the blocks stand, from the first letter to the closing brace, in their order.
func positions(name string, text []byte) ([]hcl.Range, error) {
	file, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("terraform: %w", diags)
	}
	var out []hcl.Range
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		out = append(out, hcl.RangeBetween(b.TypeRange, b.CloseBraceRange))
	}
	return out, nil
}

// guard changes one resource and reports whether it did.
func guard(body *hclwrite.Body, k kind, instance string, left func(string)) bool {
	var lifecycles []*hclwrite.Block
	for _, b := range body.Blocks() {
		if b.Type() == "lifecycle" {
			lifecycles = append(lifecycles, b)
		}
	}
	if len(lifecycles) > 1 {
		left("has several lifecycle blocks")
		return false
	}
	var known []string
	if len(lifecycles) == 1 {
		var ok bool
		if known, ok = ignored(lifecycles[0].Body()); !ok {
			left("its ignore_changes is not a plain list of attributes")
			return false
		}
	}
	changed := false
	if attribute := body.GetAttribute("dkms_instance_id"); !k.names {
		// it has none
	} else if attribute == nil && instance != "" {
		body.SetAttributeValue("dkms_instance_id", cty.StringVal(instance))
		changed = true
	} else if attribute != nil && instance != "" {
		if is := strings.TrimSpace(string(attribute.Expr().BuildTokens(nil).Bytes())); is != fmt.Sprintf("%q", instance) {
			left("dkms_instance_id is " + is + ", and is left so")
		}
	}
	missing := slices.DeleteFunc(slices.Clone(k.ignore), func(n string) bool { return slices.Contains(known, n) || slices.Contains(known, "all") })
	var life *hclwrite.Body
	if len(lifecycles) == 1 {
		life = lifecycles[0].Body()
	} else {
		body.AppendNewline()
		life = body.AppendNewBlock("lifecycle", nil).Body()
		changed = true
	}
	switch protect := life.GetAttribute("prevent_destroy"); {
	case protect == nil:
		life.SetAttributeValue("prevent_destroy", cty.True)
		changed = true
	case strings.TrimSpace(string(protect.Expr().BuildTokens(nil).Bytes())) != "true":
		left("prevent_destroy is not true, and is left so")
	}
	if len(missing) > 0 {
		life.SetAttributeRaw("ignore_changes", list(append(known, missing...)))
		changed = true
	}
	return changed
}

// ignored returns the names in ignore_changes; false where it is something else than a list of names, "all" being one.
func ignored(life *hclwrite.Body) ([]string, bool) {
	attribute := life.GetAttribute("ignore_changes")
	if attribute == nil {
		return nil, true
	}
	text := attribute.Expr().BuildTokens(nil).Bytes()
	expr, diags := hclsyntax.ParseExpression(text, "ignore_changes", hcl.InitialPos)
	if diags.HasErrors() || commented(text) {
		return nil, false // a comment inside would be lost
	}
	if hcl.ExprAsKeyword(expr) == "all" {
		return []string{"all"}, true
	}
	items, diags := hcl.ExprList(expr)
	if diags.HasErrors() {
		return nil, false
	}
	names := make([]string, len(items))
	for i, item := range items {
		if names[i] = hcl.ExprAsKeyword(item); names[i] == "" {
			traversal, diags := hcl.AbsTraversalForExpr(item) // tags["Team"]
			if diags.HasErrors() {
				return nil, false
			}
			names[i] = strings.TrimSpace(string(traversal.SourceRange().SliceBytes(text)))
		}
	}
	return names, true
}

func list(names []string) hclwrite.Tokens {
	tokens, _ := hclsyntax.LexExpression([]byte("["+strings.Join(names, ", ")+"]"), "ignore_changes", hcl.InitialPos)
	out := make(hclwrite.Tokens, 0, len(tokens))
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenEOF {
			break
		}
		spaces := 0
		if len(out) > 0 && out[len(out)-1].Type == hclsyntax.TokenComma {
			spaces = 1
		}
		out = append(out, &hclwrite.Token{Type: t.Type, Bytes: t.Bytes, SpacesBefore: spaces})
	}
	return out
}

// Diff returns a unified diff, empty where both are equal.
func Diff(name string, before, after []byte) (string, error) {
	if bytes.Equal(before, after) {
		return "", nil
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(string(before)), B: difflib.SplitLines(string(after)), FromFile: name, ToFile: name, Context: 3,
	})
	if err != nil {
		return "", fmt.Errorf("terraform: diff of %s: %w", name, err)
	}
	return text, nil
}
