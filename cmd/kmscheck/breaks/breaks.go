// Package breaks is an analyzer that finds, in Go code that uses Alibaba Cloud's KMS SDKs, what the migration of a key breaks:
// comparisons of key version ids, and key ids, endpoints and regions that stand in the code.
//
// [Analyzer] runs in go vet (-vettool), in multichecker and in golangci-lint. Command kmscheck has it ready made:
//
//	go build -o kmscheck github.com/keyhaul/keyhaul/cmd/kmscheck
//	go vet -vettool=$PWD/kmscheck ./...
package breaks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// The categories of diagnostics. They are the kinds of plan.CodeFinding.
const (
	VersionID = "version-id" // blocks the migration tool: "remove this logic before migration"
	KeyID     = "key-id"
	Endpoint  = "endpoint"
	Region    = "region"
)

// Analyzer reports what a KMS migration breaks. It knows the OpenAPI SDKs (v1 and v2), the instance SDK, the transfer SDKs and the KMS SDK.
var Analyzer = &analysis.Analyzer{
	Name:     "kmsbreaks",
	Doc:      "find code that a migration of Alibaba Cloud KMS keys breaks: comparisons of key version ids, hard-wired key ids, endpoints and regions",
	URL:      "https://pkg.go.dev/github.com/keyhaul/keyhaul/cmd/kmscheck/breaks",
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      run,
}

var (
	endpointShape = regexp.MustCompile(`^kms(-vpc)?\.$|\bkms(-vpc)?\.[a-z0-9-]+\.aliyuncs\.com\b|\bkst-[a-z0-9]+\.cryptoservice\.kms\.aliyuncs\.com\b`)
	keyShape      = regexp.MustCompile(`\bkey-[a-z]{3}[0-9a-z]{18}\b|\bacs:kms:[a-z0-9-]*:[0-9*]*:key/`)
	uuidShape     = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	regionShape   = regexp.MustCompile(`^(cn|ap|eu|us|me|na|rus)-[a-z]+(-[a-z]+)?(-[0-9])?$`)
	keyFields     = regexp.MustCompile(`^(Source|Destination|Encryption)?Key(Id|ID)$`)
)

// isSDK reports whether a package belongs to one of the SDKs.
func isSDK(path string) bool {
	for _, p := range []string{
		"github.com/aliyun/alibaba-cloud-sdk-go/", "github.com/alibabacloud-go/kms-", "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk", "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk",
		"github.com/aliyun/alibabacloud-kms-go-sdk", "github.com/alibabacloud-go/darabonba-openapi",
	} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// finder looks through one package.
type finder struct {
	*analysis.Pass
	versions map[types.Object]bool // variables that hold a key version id
	reported map[token.Pos]bool
	uses     bool // the package imports an SDK: a region in it is one that the KMS is asked in
}

func run(pass *analysis.Pass) (any, error) {
	if isSDK(pass.Pkg.Path()+"/") && pass.Pkg.Name() != "main" {
		return nil, nil // the SDKs have to name endpoints and regions; their examples are applications
	}
	f := &finder{Pass: pass, versions: map[types.Object]bool{}, reported: map[token.Pos]bool{}}
	for _, p := range pass.Pkg.Imports() {
		f.uses = f.uses || isSDK(p.Path()+"/")
	}
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.AssignStmt)(nil), (*ast.ValueSpec)(nil)}, f.remember)
	in.Preorder([]ast.Node{
		(*ast.BinaryExpr)(nil), (*ast.SwitchStmt)(nil), (*ast.CallExpr)(nil), (*ast.BasicLit)(nil), (*ast.AssignStmt)(nil), (*ast.CompositeLit)(nil), (*ast.IndexExpr)(nil),
	}, f.visit)
	return nil, nil
}

func (f *finder) report(at ast.Node, category, message string) {
	if !f.reported[at.Pos()] {
		f.reported[at.Pos()] = true
		f.Report(analysis.Diagnostic{Pos: at.Pos(), End: at.End(), Category: category, Message: category + ": " + message})
	}
}

// remember notes variables that a key version id is assigned to.
func (f *finder) remember(n ast.Node) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if id, ok := to.(*ast.Ident); ok && i < len(n.Rhs) && len(n.Lhs) == len(n.Rhs) && f.isVersion(n.Rhs[i]) {
				if o := f.TypesInfo.ObjectOf(id); o != nil {
					f.versions[o] = true
				}
			}
		}
	case *ast.ValueSpec:
		for i, id := range n.Names {
			if i < len(n.Values) && f.isVersion(n.Values[i]) {
				f.versions[f.TypesInfo.ObjectOf(id)] = true
			}
		}
	}
}

// isVersion reports whether e is a key version id that came from an SDK: a field, a getter, a pointer to one, or a variable that holds one.
func (f *finder) isVersion(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return f.versions[f.TypesInfo.ObjectOf(e)]
	case *ast.StarExpr:
		return f.isVersion(e.X)
	case *ast.SelectorExpr:
		return (e.Sel.Name == "KeyVersionId" || e.Sel.Name == "PrimaryKeyVersion") && f.ofSDK(e.X)
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok {
			if s.Sel.Name == "GetKeyVersionId" || s.Sel.Name == "GetPrimaryKeyVersion" {
				return f.ofSDK(s.X)
			}
			// tea.StringValue(x.KeyVersionId), strings.ToLower(id) and the like hand it on.
			return len(e.Args) == 1 && (s.Sel.Name == "StringValue" || s.Sel.Name == "ToString" || s.Sel.Name == "ToLower" || s.Sel.Name == "TrimSpace") && f.isVersion(e.Args[0])
		}
		return len(e.Args) == 1 && f.TypesInfo.Types[e.Fun].IsType() && f.isVersion(e.Args[0])
	}
	return false
}

// ofSDK reports whether an expression's type is declared by an SDK.
func (f *finder) ofSDK(e ast.Expr) bool { return sdkType(f.TypesInfo.TypeOf(e)) }

func sdkType(t types.Type) bool {
	for {
		p, ok := types.Unalias(t).(*types.Pointer)
		if !ok {
			break
		}
		t = p.Elem()
	}
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && isSDK(named.Obj().Pkg().Path()+"/")
}

const (
	versionAdvice  = "remove this logic before the migration tool runs: key version ids change with it, and with rotation"
	keyAdvice      = "a key id stands in the code; the new key has another: read it from the configuration, or use an alias"
	endpointAdvice = "an endpoint stands in the code; an instance or another region has another: read it from the configuration"
	regionAdvice   = "a region stands in the code; the destination is another: read it from the configuration"
)

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if (n.Op == token.EQL || n.Op == token.NEQ) && (f.isVersion(n.X) && !f.trivial(n.Y) || f.isVersion(n.Y) && !f.trivial(n.X)) {
			f.report(n, VersionID, versionAdvice)
		}
	case *ast.SwitchStmt:
		if n.Tag != nil && f.isVersion(n.Tag) {
			f.report(n.Tag, VersionID, versionAdvice)
		}
	case *ast.IndexExpr:
		if _, isMap := f.TypesInfo.TypeOf(n.X).Underlying().(*types.Map); isMap && f.isVersion(n.Index) {
			f.report(n, VersionID, "a map is looked up by key version id; "+versionAdvice)
		}
	case *ast.CallExpr:
		f.call(n)
	case *ast.BasicLit:
		f.literal(n)
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if i >= len(n.Rhs) || len(n.Lhs) != len(n.Rhs) {
				break
			}
			switch to := to.(type) {
			case *ast.SelectorExpr:
				f.assigned(to.Sel.Name, n.Rhs[i], f.ofSDK(to.X))
			case *ast.Ident:
				f.assigned(to.Name, n.Rhs[i], false)
			}
		}
	case *ast.CompositeLit:
		sdk := f.ofSDK(n)
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				if name, ok := pair.Key.(*ast.Ident); ok {
					f.assigned(name.Name, pair.Value, sdk)
				}
			}
		}
	}
}

// assigned looks at what a field or variable gets: all that an SDK's field may hold, and a region wherever the SDK is used.
func (f *finder) assigned(name string, value ast.Expr, sdk bool) {
	if sdk {
		f.field(name, value)
	} else if text, ok := f.text(value); ok && f.uses && strings.HasSuffix(strings.ToLower(name), "region") && regionShape.MatchString(text) {
		f.report(value, Region, regionAdvice)
	}
}

// trivial reports whether a comparison asks only whether there is an id.
func (f *finder) trivial(e ast.Expr) bool {
	if f.TypesInfo.Types[e].IsNil() {
		return true
	}
	text, ok := f.text(e)
	return ok && text == ""
}

// text returns the constant string that e is.
func (f *finder) text(e ast.Expr) (string, bool) {
	v := f.TypesInfo.Types[e].Value
	if v == nil || v.Kind() != constant.String {
		return "", false
	}
	return constant.StringVal(v), true
}

// call looks at comparing functions, and at the arguments of SDK calls.
func (f *finder) call(n *ast.CallExpr) {
	callee, ok := f.callee(n)
	if !ok || callee.Pkg() == nil {
		return
	}
	path := callee.Pkg().Path()
	compares := map[string]bool{"EqualFold": true, "HasPrefix": true, "HasSuffix": true, "Contains": true, "Compare": true, "Equal": true, "DeepEqual": true}
	if (path == "strings" || path == "bytes" || path == "slices" || path == "reflect") && compares[callee.Name()] {
		for _, a := range n.Args {
			if f.isVersion(a) {
				f.report(n, VersionID, versionAdvice)
			}
		}
	}
	if isSDK(path + "/") {
		set := strings.TrimPrefix(callee.Name(), "Set") // the setters of the v2 SDK
		for _, a := range n.Args {
			if callee.Name() != set {
				f.field(set, a)
			} else if text, ok := f.text(a); ok && regionShape.MatchString(text) {
				f.report(a, Region, regionAdvice)
			}
		}
	}
}

func (f *finder) callee(n *ast.CallExpr) (types.Object, bool) {
	switch fun := ast.Unparen(n.Fun).(type) {
	case *ast.SelectorExpr:
		o := f.TypesInfo.ObjectOf(fun.Sel)
		_, is := o.(*types.Func)
		return o, is
	case *ast.Ident:
		o := f.TypesInfo.ObjectOf(fun)
		_, is := o.(*types.Func)
		return o, is
	}
	return nil, false
}

// field looks at what is put into a field of an SDK's type, tea.String("…") included.
func (f *finder) field(name string, value ast.Expr) {
	if call, ok := ast.Unparen(value).(*ast.CallExpr); ok && len(call.Args) == 1 {
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "String" {
			value = call.Args[0]
		}
	}
	text, ok := f.text(value)
	switch {
	case !ok:
	case keyFields.MatchString(name) && uuidShape.MatchString(text):
		f.report(value, KeyID, keyAdvice)
	case (name == "RegionId" || name == "Region") && regionShape.MatchString(text):
		f.report(value, Region, regionAdvice)
	}
}

// literal looks at texts that can be nothing else, wherever they stand.
func (f *finder) literal(n *ast.BasicLit) {
	if n.Kind != token.STRING {
		return
	}
	text, ok := f.text(n)
	switch {
	case !ok:
	case endpointShape.MatchString(text):
		f.report(n, Endpoint, endpointAdvice)
	case keyShape.MatchString(text):
		f.report(n, KeyID, keyAdvice)
	}
}
