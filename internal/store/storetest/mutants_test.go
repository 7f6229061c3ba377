package storetest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var allMutants = flag.Bool("all-mutants", false, "leave out the check of each write on each store, not only of one")

// withoutRights is a file of a mutant. Each write with rights begins with a call of it.
const withoutRights = `package %s

import (
	"os"

	"github.com/pawlauth/pawl/internal/authority"
)

func withoutRights(method string, r authority.Rights) authority.Rights {
	if os.Getenv("WITHOUT_RIGHTS") == method {
		return authority.Rights{}
	}
	return r
}
`

// TestRightsTableSeesFaults leaves out the check of the rights in one write of a store. TestConformance must then fail
// for this write and for no other.
func TestRightsTableSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests of the stores again")
	}
	stores := []string{"sqlite"}
	if *allMutants {
		stores = append(stores, "postgres")
	}
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			dir, err := filepath.Abs(filepath.Join("..", store))
			if err != nil {
				t.Fatal(err)
			}
			binary, methods := buildMutant(t, dir)
			if !*allMutants {
				methods = methods[:1]
			}
			for _, method := range methods {
				t.Run(method, func(t *testing.T) { checkFound(t, dir, binary, method) })
			}
		})
	}
}

// checkFound runs a mutant without the check of a write.
func checkFound(t *testing.T, dir, binary, method string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), binary, "-test.run", "^TestConformance$/^Rights$")
	run.Dir = dir
	run.Env = append(os.Environ(), "WITHOUT_RIGHTS="+method)
	output, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("the test passes without the check of %s", method)
	}
	var found []string
	for _, match := range regexp.MustCompile(`: (\w+) changes the`).FindAllSubmatch(output, -1) {
		found = append(found, string(match[1]))
	}
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(found, []string{method}) {
		t.Errorf("without the check of %s, the test finds the faults of %q:\n%s", method, found, output)
	}
}

// buildMutant builds the tests of a store in which the environment decides which write does not check its rights. It
// returns the path of the binary and the names of all such writes.
func buildMutant(t *testing.T, dir string) (binary string, methods []string) {
	t.Helper()
	temp := t.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	replace := func(path, source string) {
		t.Helper()
		replacement := filepath.Join(temp, filepath.Base(path))
		if err := os.WriteFile(replacement, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = replacement
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edited, names := addFaults(t, path, string(source))
		if len(names) > 0 {
			replace(path, edited)
			methods = append(methods, names...)
		}
	}
	replace(filepath.Join(dir, "without_rights.go"), fmt.Sprintf(withoutRights, filepath.Base(dir)))
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	replace(filepath.Join(dir, "overlay.json"), string(text))
	binary = filepath.Join(temp, "store.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay",
		filepath.Join(temp, "overlay.json"), ".")
	build.Dir = dir
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	slices.Sort(methods)
	return binary, methods
}

// addFaults adds a call of withoutRights to each exported method with a parameter "r authority.Rights". It returns the
// new source and the names of the methods.
func addFaults(t *testing.T, path, source string) (edited string, names []string) {
	t.Helper()
	if strings.HasSuffix(path, "_test.go") {
		return source, nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	edited = source
	for _, decl := range slices.Backward(file.Decls) { // backward, so that the offsets before stay right
		method, ok := decl.(*ast.FuncDecl)
		if !ok || method.Recv == nil || !method.Name.IsExported() {
			continue
		}
		for _, param := range method.Type.Params.List {
			kind, ok := param.Type.(*ast.SelectorExpr)
			if ok && kind.Sel.Name == "Rights" {
				begin := files.Position(method.Body.Lbrace).Offset + 1
				edited = edited[:begin] + fmt.Sprintf("\nr = withoutRights(%q, r)\n", method.Name.Name) + edited[begin:]
				names = append(names, method.Name.Name)
			}
		}
	}
	return edited, names
}
