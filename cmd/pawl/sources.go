package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/client"
)

// sources has the settings that are not on the command line. As a resolver of kong it supplies the value of each
// missing flag: a PAWL_* variable if there is one, else the file of --config.
//
// An invalid value does not stop kong. The flag gets its default, and run reports all problems together after kong has
// parsed the command line, so that pawl config can still show the other settings.
type sources struct {
	path     string                 // of the file; may be empty
	file     map[string]fileSetting // by name
	fileErr  error
	settings map[string]bool // the flags of serve: each has a variable, and a name in the file
	invalid  []settingError  // the invalid values of this command

	readsVariables, readsFile bool // whether the command has flags with a variable, with a name in the file
}

// settingError is an error in a setting. The problem continues a sentence whose subject is the setting.
type settingError struct {
	name    string // of the flag, without hyphens
	problem error
}

func (e settingError) Error() string { return "--" + e.name + " " + e.problem.Error() }
func (e settingError) Unwrap() error { return e.problem }

// badSetting returns a settingError.
func badSetting(name, format string, args ...any) error {
	return settingError{name: name, problem: fmt.Errorf(format, args...)}
}

// Variables without a setting of serve.
var (
	// otherVariables are also flags of commands other than serve.
	otherVariables = []string{"url", "api-key", "login", "password", "from", "to"}
	// soleVariables have no flag with a variable. The last ones are of dev.env, of deploy/compose and of tests.
	soleVariables = []string{
		"PAWL_CONFIG", "PAWL_MASTER_KEY",
		"PAWL_ADMIN_LOGIN", "PAWL_ADMIN_PASSWORD", "PAWL_ADMIN_API_KEY", "PAWL_USER", "PAWL_TEST_POSTGRES",
	}
	// serviceVariables matches the variables that Kubernetes sets for a service with a name such as pawl.
	serviceVariables = regexp.MustCompile(`^PAWL(_[A-Z0-9_]+)?_` +
		`(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT_\d+_(TCP|UDP|SCTP)(_.+)?=|PORT=(tcp|udp|sctp)://)`)
)

// loadSources reads the file named by --config or PAWL_CONFIG. It runs before the command line is parsed, because the
// parser resolves flags with the file.
func loadSources(args []string) *sources {
	s := &sources{path: os.Getenv("PAWL_CONFIG"), file: map[string]fileSetting{}, settings: map[string]bool{}}
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			s.path = value
		} else if arg == "--config" && i+1 < len(args) {
			s.path = args[i+1]
		}
	}
	if s.path == "" {
		return s
	}
	settings, err := readSettingsFile(s.path)
	s.fileErr = err
	for _, setting := range settings {
		s.file[setting.name] = setting
	}
	return s
}

// addSettings takes the names of the settings from the flags of serve.
func (s *sources) addSettings(application *kong.Application) {
	for _, command := range application.Children {
		if command.Name != "serve" {
			continue
		}
		for _, flag := range command.Flags {
			s.settings[flag.Name] = flag.Name != "help" && flag.Name != "config"
		}
	}
}

// Validate does nothing. kong calls it, but too late for Resolve.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve returns the value of a flag missing from the command line.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !s.hasVariable(flag.Name) {
		return nil, nil
	}
	s.readsVariables = true
	s.readsFile = s.readsFile || s.settings[flag.Name]
	value, err := s.value(flag)
	if err == nil && value != nil {
		err = checkValue(flag, value)
	}
	if err != nil {
		s.invalid = append(s.invalid, settingError{name: flag.Name, problem: err})
		return nil, nil
	}
	return value, nil
}

// value returns the value of a flag in its variable or in the file, or nil.
func (s *sources) value(flag *kong.Flag) (any, error) {
	if value := os.Getenv(variable(flag.Name)); value != "" {
		return value, nil
	}
	setting, ok := s.file[flag.Name]
	if !ok || !s.settings[flag.Name] {
		return nil, nil
	}
	if _, list := setting.value.([]any); list && flag.Target.Kind() != reflect.Slice {
		return nil, errors.New("must be one value, without a list")
	}
	return setting.value, setting.err
}

// text returns the value of a flag as it is written in its variable or in the file.
func (s *sources) text(flag string) string {
	return cmp.Or(os.Getenv(variable(flag)), s.file[flag].json)
}

// checkValue returns an error if a flag cannot have a value.
func checkValue(flag *kong.Flag, value any) error {
	target := reflect.New(flag.Target.Type()).Elem()
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
	}
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target); err != nil {
		switch target.Kind() {
		case reflect.Bool:
			return errors.New("must be true or false")
		case reflect.Int:
			return fmt.Errorf("must be a whole number, and %q is none", value)
		}
		return err
	}
	if text := fmt.Sprint(target); flag.Enum != "" && !slices.Contains(flag.EnumSlice(), text) {
		return fmt.Errorf("must be one of %s, and %q is none of them", strings.Join(flag.EnumSlice(), ", "), text)
	}
	return nil
}

// hasVariable reports whether a flag has a variable.
func (s *sources) hasVariable(flag string) bool {
	return s.settings[flag] || slices.Contains(otherVariables, flag)
}

// variable returns the name of the variable of a flag.
func variable(flag string) string {
	return "PAWL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// problems returns the errors in the sources of a parsed command line, the misspelt names first.
func (s *sources) problems() error {
	var all []error
	if s.readsVariables {
		all = append(all, s.unknownVariables()...)
	}
	if s.readsFile {
		all = append(all, s.unknownNames()...)
		all = append(all, s.fileErr)
	}
	for _, e := range s.invalid {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// unknownVariables returns an error for each PAWL_* variable that Pawl does not read, so that a misspelt setting cannot
// be without effect.
func (s *sources) unknownVariables() []error {
	known := slices.Clone(soleVariables)
	for _, name := range slices.Concat(s.names(), otherVariables) {
		known = append(known, variable(name))
	}
	var all []error
	for _, entry := range slices.Sorted(slices.Values(os.Environ())) {
		name, value, _ := strings.Cut(entry, "=")
		unset := value == "" || !strings.HasPrefix(name, "PAWL_")
		if unset || slices.Contains(known, name) || serviceVariables.MatchString(entry) {
			continue
		}
		advice := `"pawl config" lists the settings; unset the variable if it is not for Pawl`
		if near := nearest(name, known); near != "" {
			advice = "did you mean " + near + "?"
		}
		all = append(all, usagef("there is no setting for the variable %s; %s", name, advice))
	}
	return all
}

// unknownNames returns an error for each name in the file that is not a setting.
func (s *sources) unknownNames() []error {
	var all []error
	byLine := func(a, b fileSetting) int { return cmp.Compare(a.line, b.line) }
	for _, setting := range slices.SortedFunc(maps.Values(s.file), byLine) {
		if s.settings[setting.name] {
			continue
		}
		advice := `"pawl config" lists them`
		if near := nearest(strings.ToLower(setting.name), s.names()); near != "" {
			advice = "did you mean " + near + "?"
		}
		all = append(all, usagef("%s:%d: there is no setting %q; %s", s.path, setting.line, setting.name, advice))
	}
	return all
}

// names returns the names of the settings.
func (s *sources) names() []string {
	var names []string
	for name, setting := range s.settings {
		if setting {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// source returns the source of a flag's value: "flag", a variable, a line of the file, or "default".
func (s *sources) source(parsed *kong.Context, name string) string {
	onCommandLine := parsed != nil && slices.ContainsFunc(parsed.Path, func(p *kong.Path) bool {
		return p.Flag != nil && p.Flag.Name == name && !p.Resolved
	})
	switch {
	case onCommandLine:
		return "flag"
	case s.hasVariable(name) && os.Getenv(variable(name)) != "":
		return variable(name)
	case s.settings[name] && s.file[name].name != "":
		return fmt.Sprintf("%s:%d", s.path, s.file[name].line)
	}
	return "default"
}

// explain returns a message for each error joined in err. A message about a setting names the source of its value.
func (s *sources) explain(parsed *kong.Context, err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, err := range joined.Unwrap() {
			all = append(all, s.explain(parsed, err)...)
		}
		return all
	}
	if failed, ok := errors.AsType[*client.Error](err); ok && parsed != nil && parsed.Selected() != nil {
		return []string{strings.Replace(err.Error(), failed.Error(), explainServer(parsed, failed), 1)}
	}
	bad, ok := errors.AsType[settingError](err)
	if !ok {
		// Advice such as "choose another --addr" names the flag.
		return []string{flagInText.ReplaceAllStringFunc(explainUnreachable(err.Error()), func(flag string) string {
			subject, line := s.subject(parsed, flag[len("--"):])
			if line != "" {
				return subject + " in " + line
			}
			return subject
		})}
	}
	subject, line := s.subject(parsed, bad.name)
	if line != "" {
		subject = line + ": " + subject
	}
	return []string{fmt.Sprintf("%s %v", subject, bad.problem)}
}

// subject returns what a message calls a setting: its flag, its variable, or its name in the line of a file.
func (s *sources) subject(parsed *kong.Context, name string) (subject, line string) {
	switch source := s.source(parsed, name); source {
	case "flag", "default":
		return "--" + name, ""
	case variable(name):
		return source, ""
	default:
		return name, source
	}
}

var flagInText = regexp.MustCompile(`--[a-z]+(-[a-z]+)*`)

// nearest returns the most similar of some words, or "" if none is similar.
func nearest(word string, words []string) string {
	best, found := 1+len(strings.TrimPrefix(word, "PAWL_"))/3, ""
	for _, candidate := range words {
		if d := distance(word, candidate); d <= best && (found == "" || d < best) {
			best, found = d, candidate
		}
	}
	return found
}

// distance returns how many bytes to add, remove or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
