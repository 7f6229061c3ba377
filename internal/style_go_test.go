package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxColumns     = 120
	tabColumns     = 4
	maxFuncLines   = 60
	maxPositional  = 2
	maxAssignments = 2
)

// goFile is a parsed file with the names of the module's struct types.
type goFile struct {
	path    string
	source  string
	set     *token.FileSet
	tree    *ast.File
	structs structNames
}

func (f *goFile) line(pos token.Pos) int { return f.set.Position(pos).Line }

// parseGo parses a source text. The file has only its own struct types.
func parseGo(path, source string) (*goFile, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, source, parser.ParseComments|parser.SkipObjectResolution)
	f := &goFile{path: path, source: source, set: set, tree: tree, structs: structNames{}}
	if err == nil {
		f.structs.add(f)
	}
	return f, err
}

// prose returns the passages of a file: comments, and messages among the string literals.
func (f *goFile) prose() []passage {
	var all []passage
	lastLine := 0
	for _, group := range f.tree.Comments {
		paragraphs := commentParagraphs(group, f.line(group.Pos()))
		first, _ := utf8.DecodeRuneInString(group.Text())
		// A comment in lower case directly below another one continues its sentence.
		if f.line(group.Pos()) == lastLine+1 && unicode.IsLower(first) && len(all) > 0 && len(paragraphs) > 0 {
			all[len(all)-1].text += " " + paragraphs[0].text
			paragraphs = paragraphs[1:]
		}
		all = append(all, paragraphs...)
		lastLine = f.line(group.End())
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && strings.Contains(text, " ") {
				all = append(all, passage{line: f.line(literal.Pos()), text: text, fragment: true})
			}
		}
		return true
	})
	return all
}

// commentParagraphs returns the paragraphs and list items of a comment, without headings and blocks of code.
func commentParagraphs(group *ast.CommentGroup, line int) []passage {
	var all []passage
	begin := true
	for text := range strings.Lines(group.Text()) {
		trimmed := strings.TrimSpace(text)
		item := strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "* ")
		switch {
		case trimmed == "", strings.HasPrefix(text, "# "):
			begin = true
		case strings.HasPrefix(text, "\t") && !item:
			begin = true
		case begin || item:
			all = append(all, passage{line: line, text: strings.TrimLeft(trimmed, "-* ")})
			begin = false
		default:
			all[len(all)-1].text += " " + trimmed
		}
	}
	return all
}

// checkDocComments requires the documented name at the beginning of each doc comment.
func checkDocComments(f *goFile) []finding {
	var found []finding
	check := func(doc *ast.CommentGroup, name string) {
		text := doc.Text()
		if text == "" || name == "_" || strings.HasPrefix(text, "Deprecated: ") {
			return
		}
		begin := regexp.MustCompile(`^((A|An|The) )?` + name + `([ ,.]|'s|\n|$)`)
		if !begin.MatchString(text) {
			problem := fmt.Sprintf("begin the comment with %q and a verb: %q", name, shorten(text))
			found = append(found, finding{f.line(doc.Pos()), problem})
		}
	}
	for _, declaration := range f.tree.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if !strings.HasPrefix(d.Name.Name, "Example") { // godoc prints it as prose
				check(d.Doc, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				name, doc := specName(spec)
				if !d.Lparen.IsValid() {
					doc = d.Doc
				}
				if name != "" {
					check(doc, name)
				}
			}
		}
	}
	return found
}

// specName returns the name and the comment of a type, or of a single constant or variable.
func specName(spec ast.Spec) (string, *ast.CommentGroup) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return s.Name.Name, s.Doc
	case *ast.ValueSpec:
		if len(s.Names) == 1 {
			return s.Names[0].Name, s.Doc
		}
	}
	return "", nil
}

// checkNames rejects declarations with one of bannedNames.
func checkNames(f *goFile) []finding {
	var found []finding
	check := func(names ...*ast.Ident) {
		for _, name := range names {
			for _, banned := range bannedNames {
				if banned.pattern.MatchString(name.Name) {
					problem := fmt.Sprintf("the name %s: use %s instead", name.Name, banned.instead)
					found = append(found, finding{f.line(name.Pos()), problem})
				}
			}
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			check(n.Name)
		case *ast.TypeSpec:
			check(n.Name)
		case *ast.ValueSpec:
			check(n.Names...)
		case *ast.Field:
			check(n.Names...)
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
					check(name)
				}
			}
		}
		return true
	})
	return found
}

var sqlWord = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|CREATE|WHERE|FROM|PRAGMA|VALUES|RETURNING)\b`)

// checkGoWidth limits the columns of a line. A URL or a raw string literal may be wider if it cannot fit on a line of
// its own. SQL may not.
func checkGoWidth(f *goFile) []finding {
	raw := map[int]bool{}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || !strings.HasPrefix(literal.Value, "`") || sqlWord.MatchString(literal.Value) {
			return true
		}
		first := f.line(literal.Pos())
		for i, part := range strings.Split(literal.Value, "\n") {
			raw[first+i] = raw[first+i] || i > 0 || columns(part) > maxColumns-2*tabColumns
		}
		return true
	})
	var found []finding
	number := 0
	for line := range strings.Lines(f.source) {
		number++
		width := columns(strings.TrimSuffix(line, "\n"))
		if width > maxColumns && !raw[number] && !longURL(line) {
			found = append(found, tooWide(number, width))
		}
	}
	return found
}

func tooWide(line, width int) finding {
	return finding{line, fmt.Sprintf("the line has %d columns, at most %d", width, maxColumns)}
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + strings.Count(line, "\t")*(tabColumns-1)
}

var webAddress = regexp.MustCompile(`https?://[^\s"')]+`)

// longURL reports whether a line has a URL that leaves no room for anything else.
func longURL(line string) bool {
	return len(webAddress.FindString(line)) > maxColumns-2*tabColumns
}

// checkFuncLines limits the lines of a function.
func checkFuncLines(f *goFile) []finding {
	var found []finding
	for _, declaration := range f.tree.Decls {
		if d, ok := declaration.(*ast.FuncDecl); ok {
			if lines := f.line(d.End()) - f.line(d.Pos()) + 1; lines > maxFuncLines {
				problem := fmt.Sprintf("%s has %d lines, at most %d", d.Name.Name, lines, maxFuncLines)
				found = append(found, finding{f.line(d.Pos()), problem})
			}
		}
	}
	return found
}

// checkAssignments rejects assignments of three or more values to as many variables.
func checkAssignments(f *goFile) []finding {
	var found []finding
	ast.Inspect(f.tree, func(n ast.Node) bool {
		values := 0
		switch n := n.(type) {
		case *ast.AssignStmt:
			values = len(n.Rhs)
		case *ast.ValueSpec:
			values = len(n.Values)
		}
		if values > maxAssignments {
			found = append(found, finding{f.line(n.Pos()), "write one assignment a line, or two at most"})
		}
		return true
	})
	return found
}

// checkConditions rejects an if statement whose condition uses none of its own assignments.
func checkConditions(f *goFile) []finding {
	var found []finding
	ast.Inspect(f.tree, func(n ast.Node) bool {
		statement, ok := n.(*ast.IfStmt)
		if !ok || statement.Init == nil {
			return true
		}
		assigned := map[string]bool{}
		if assignment, ok := statement.Init.(*ast.AssignStmt); ok {
			for _, left := range assignment.Lhs {
				ast.Inspect(left, func(n ast.Node) bool {
					if name, ok := n.(*ast.Ident); ok {
						assigned[name.Name] = true
					}
					return true
				})
			}
		}
		used := false
		ast.Inspect(statement.Cond, func(n ast.Node) bool {
			name, ok := n.(*ast.Ident)
			used = used || ok && assigned[name.Name]
			return true
		})
		if !used {
			problem := "move the statement before the if; the condition does not use it"
			found = append(found, finding{f.line(n.Pos()), problem})
		}
		return true
	})
	return found
}

// structNames has the struct types of the module by directory and name, so that checkLiterals needs no type checker.
type structNames map[string]bool

// add adds the struct types of a file, local ones included.
func (s structNames) add(f *goFile) {
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if _, ok := spec.Type.(*ast.StructType); ok {
				s[path.Dir(f.path)+"."+spec.Name.Name] = true
			}
		}
		return true
	})
}

// has reports whether an expression in f names a struct type of the module.
func (s structNames) has(f *goFile, expression ast.Expr) bool {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return s.has(f, e.X)
	case *ast.IndexExpr:
		return s.has(f, e.X)
	case *ast.IndexListExpr:
		return s.has(f, e.X)
	case *ast.Ident:
		return s[path.Dir(f.path)+"."+e.Name]
	case *ast.SelectorExpr:
		name, ok := e.X.(*ast.Ident)
		return ok && s[f.importedDir(name.Name)+"."+e.Sel.Name]
	case *ast.StructType:
		return !strings.HasSuffix(f.path, "_test.go") // tables of tests may have rows without names
	}
	return false
}

// importedDir returns the directory of a package of the module by its name in f, or "".
func (f *goFile) importedDir(name string) string {
	for _, spec := range f.tree.Imports {
		dir, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/")
		known := path.Base(dir)
		if spec.Name != nil {
			known = spec.Name.Name
		}
		if ours && known == name {
			return dir
		}
	}
	return ""
}

// checkLiterals rejects literals of the module's structs with more than two positional fields.
func checkLiterals(f *goFile) []finding {
	var found []finding
	var check func(literal *ast.CompositeLit, kind ast.Expr)
	check = func(literal *ast.CompositeLit, kind ast.Expr) {
		positional := 0
		for _, element := range literal.Elts {
			if _, keyed := element.(*ast.KeyValueExpr); !keyed {
				positional++
			}
		}
		if positional > maxPositional && f.structs.has(f, kind) {
			problem := fmt.Sprintf("name the fields of a literal with more than %d", maxPositional)
			found = append(found, finding{f.line(literal.Pos()), problem})
		}
		// The elements of an array, slice or map may leave out their type.
		element := elementType(kind)
		for _, child := range literal.Elts {
			if pair, ok := child.(*ast.KeyValueExpr); ok {
				child = pair.Value
			}
			if inner, ok := child.(*ast.CompositeLit); ok && inner.Type == nil && element != nil {
				check(inner, element)
			}
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if literal, ok := n.(*ast.CompositeLit); ok && literal.Type != nil {
			check(literal, literal.Type)
		}
		return true
	})
	return found
}

func elementType(kind ast.Expr) ast.Expr {
	switch k := kind.(type) {
	case *ast.ArrayType:
		return k.Elt
	case *ast.MapType:
		return k.Value
	case *ast.StarExpr:
		return elementType(k.X)
	}
	return nil
}

// packageComment has the files with a comment of the package.
type packageComment struct {
	name  string
	files []string
}

// checkPackageComments requires a comment of each package in exactly one file. Packages with only test files, and
// programs below test/, need none.
func checkPackageComments(files []*goFile) map[string]string {
	packages := map[string]*packageComment{}
	for _, f := range files {
		if strings.HasSuffix(f.path, "_test.go") || f.tree.Name.Name == "main" && strings.HasPrefix(f.path, "test/") {
			continue
		}
		dir := path.Dir(f.path)
		if packages[dir] == nil {
			packages[dir] = &packageComment{name: f.tree.Name.Name}
		}
		if text := f.tree.Doc.Text(); text != "" {
			packages[dir].files = append(packages[dir].files, f.path)
			begin := "Package " + f.tree.Name.Name + " "
			if f.tree.Name.Name != "main" && !strings.HasPrefix(text, begin) {
				packages[dir].files = append(packages[dir].files, fmt.Sprintf("one that does not begin with %q", begin))
			}
		}
	}
	found := map[string]string{}
	for dir, p := range packages {
		if len(p.files) != 1 {
			found[dir] = fmt.Sprintf("package %s needs one package comment, not %d: %v", p.name, len(p.files), p.files)
		}
	}
	return found
}
