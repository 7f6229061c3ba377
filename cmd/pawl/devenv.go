package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// devEnvFile is the name of the file written by pawl dev into its data folder.
const devEnvFile = "dev.env"

// devEnv has the variable parts of dev.env.
type devEnv struct {
	url, apiKey, adminPassword, adminKey string
}

// readDevEnv reads the file of an earlier run. Missing or damaged fields are empty.
func readDevEnv(path string) devEnv {
	values := map[string]string{}
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
			values[name] = strings.ReplaceAll(value[1:len(value)-1], `'\''`, `'`)
		}
	}
	return devEnv{
		url:           values["PAWL_URL"],
		apiKey:        values["ECGRID_API_KEY"],
		adminPassword: values["PAWL_ADMIN_PASSWORD"],
		adminKey:      values["PAWL_ADMIN_API_KEY"],
	}
}

// write replaces the file in one step. Only its owner can read it.
func (e devEnv) write(path string) error {
	var text strings.Builder
	text.WriteString("# Written by pawl dev; read it with: set -a; . FILE; set +a\n")
	for _, pair := range [][2]string{
		{"PAWL_URL", e.url},
		{"ECGRID_API_KEY", e.apiKey},
		{"PAWL_LOGIN", devLogin},
		{"PAWL_PASSWORD", devPassword},
		{"PAWL_API_KEY", e.adminKey}, // for the commands
		{"PAWL_ADMIN_LOGIN", devAdmin},
		{"PAWL_ADMIN_PASSWORD", e.adminPassword},
		{"PAWL_ADMIN_API_KEY", e.adminKey},
	} {
		fmt.Fprintf(&text, "%s=%s\n", pair[0], shellQuote(pair[1]))
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".dev.env-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text.String())
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
