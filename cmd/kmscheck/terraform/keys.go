package terraform

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// rename puts the new key into an attribute that names the old one by its id, and reports whether it did. References and everything else that
// is not a plain text are left: they follow the resource that they point to.
func rename(body *hclwrite.Body, k kind, keys map[string]string, left func(string)) bool {
	attribute := body.GetAttribute(k.keys)
	if k.keys == "" || attribute == nil || len(keys) == 0 {
		return false
	}
	text := bytes.TrimSpace(attribute.Expr().BuildTokens(nil).Bytes())
	if !k.shared {
		old, ok := literal(text)
		if next := keys[old]; ok && next != "" && next != old {
			body.SetAttributeValue(k.keys, cty.StringVal(next))
			return true
		}
		return false
	}
	expr, diags := hclsyntax.ParseExpression(text, k.keys, hcl.InitialPos)
	items, more := hcl.ExprList(expr)
	if diags.HasErrors() || more.HasErrors() || commented(text) {
		left(k.keys + " is not a plain list, and is left so")
		return false
	}
	var out []string
	have := map[string]bool{}
	for _, item := range items {
		out = append(out, string(item.Range().SliceBytes(text)))
		have[out[len(out)-1]] = true
	}
	changed := false
	for i := 0; i < len(out); i++ {
		name, ok := literal([]byte(out[i]))
		id, isKey := strings.CutPrefix(name, "key/")
		next := keys[id]
		if added := `"key/` + next + `"`; ok && isKey && next != "" && !have[added] {
			out = append(out[:i+1], append([]string{added}, out[i+1:]...)...)
			have[added] = true
			changed = true
			i++
		}
	}
	if changed {
		body.SetAttributeRaw(k.keys, list(out))
	}
	return changed
}

// literal returns the text that an expression is, without templates.
func literal(text []byte) (string, bool) {
	expr, diags := hclsyntax.ParseExpression(text, "literal", hcl.InitialPos)
	if diags.HasErrors() {
		return "", false
	}
	if template, ok := expr.(*hclsyntax.TemplateExpr); !ok || !template.IsStringLiteral() {
		return "", false
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() || value.Type() != cty.String {
		return "", false
	}
	return value.AsString(), true
}

// commented reports whether there may be a comment inside, which a rewritten list would lose.
func commented(text []byte) bool {
	tokens, _ := hclsyntax.LexExpression(text, "list", hcl.InitialPos)
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenComment {
			return true
		}
	}
	return false
}
