package main

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
)

// settingsFile is the file of --config: a JSON object with the names of the flags. As a resolver of kong it supplies
// the values of flags missing from the command line: a PAWL_* variable if there is one, else the file.
type settingsFile struct {
	path   string
	values map[string]any
	// err is the error of reading the file. Only commands with settings return it.
	err error
}

// loadFile reads the file named by --config or PAWL_CONFIG. It runs before the command line is parsed, because the
// parser resolves flags with the file.
func loadFile(args []string) *settingsFile {
	f := &settingsFile{path: os.Getenv("PAWL_CONFIG"), values: map[string]any{}}
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			f.path = value
		} else if arg == "--config" && i+1 < len(args) {
			f.path = args[i+1]
		}
	}
	if f.path == "" {
		return f
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.err = usagef("cannot read the settings file: %w; check --config", err)
	} else if err := json.Unmarshal(text, &f.values); err != nil { // rejects duplicate names
		f.err = usagef("the settings file %s is not a JSON object: %w", f.path, err)
	} else if f.values == nil {
		f.err = usagef("the settings file %s is not a JSON object but null", f.path)
	}
	return f
}

// Validate rejects names that are not settings, so that a typing error cannot pass for one.
func (f *settingsFile) Validate(application *kong.Application) error {
	settings := map[string]bool{}
	for _, command := range application.Children {
		if command.Name == "serve" {
			for _, flag := range command.Flags {
				settings[flag.Name] = !commandLineOnly(flag.Name)
			}
		}
	}
	for name, value := range f.values {
		if !settings[name] {
			return usagef("the settings file %s: there is no setting %q; \"pawl config\" lists them", f.path, name)
		}
		if _, err := scalar(value); err != nil {
			return usagef("the settings file %s: %s %v", f.path, name, err)
		}
	}
	return nil
}

// Resolve returns the value of a flag missing from the command line.
func (f *settingsFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if commandLineOnly(flag.Name) {
		return nil, nil
	}
	if f.err != nil {
		return nil, f.err
	}
	if value := os.Getenv(variable(flag.Name)); value != "" {
		return value, nil
	}
	if value, ok := f.values[flag.Name]; ok {
		return scalar(value)
	}
	return nil, nil
}

// source returns the source of the value of a flag missing from the command line.
func (f *settingsFile) source(name string) string {
	if os.Getenv(variable(name)) != "" {
		return variable(name)
	}
	if _, ok := f.values[name]; ok {
		return f.path
	}
	return "default"
}

// commandLineOnly reports whether a flag has no variable, and no name in the file.
func commandLineOnly(flag string) bool {
	return slices.Contains([]string{"help", "config", "json"}, flag)
}

// variable returns the name of the variable of a flag.
func variable(flag string) string {
	return "PAWL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// scalar returns a value of the file as it would be on the command line.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", errors.New("must be a string, a number, true or false")
}
