package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestSettingsFileIsRefused checks that a file with an error is not taken for settings.
func TestSettingsFileIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{} {}`, `{"token-life":"1h","token-life":"2h"}`, `{"Issuer":"x"}`, `{"issuer":null}`,
		`{"config":"x"}`,
	} {
		if code, got := showSettings(t, text); code != exitUsage {
			t.Errorf("%s: exit code %d, want %d; the settings are %+v", text, code, exitUsage, got)
		}
	}
}

// FuzzSettings runs pawl config with any settings file. The file is either rejected with exitUsage, or its effective
// settings, written as a new file, have the same effect.
func FuzzSettings(f *testing.F) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PAWL_") {
			f.Setenv(name, "") // restores the variable at the end of the test
			os.Unsetenv(name)
		}
	}
	for _, seed := range []string{
		`{}`, `null`, ``, `[]`,
		`{"token-life":"15m","addr":":9090"}`, `{"token-life":900}`, `{"token-life":1e300}`,
		`{"token-life":"1h","token-life":"2h"}`, `{"session-life":"99999h"}`, `{"bearer-grace":"1.5s"}`,
		`{"issuer":"${algorithm}","audience":"\ud800"}`, `{"issuer":""}`, `{"issuer":{"a":1}}`, `{"Issuer":"x"}`,
		`{"algorithm":"none"}`, `{"config":"x"}`, `{"help":true}`,
		`{"data":"--addr","tls-cert":"a","tls-key":"b"}`,
		`{"password-memory":65536.5}`, `{"password-lanes":256}`,
		`{"password-rule":"length","refresh-key":"bound","keyless-retry":"5s"} x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, settings := showSettings(t, text)
		if code == exitUsage {
			return
		}
		var object map[string]any
		if code != exitOK || json.Unmarshal([]byte(text), &object) != nil || object == nil || !utf8.ValidString(text) {
			t.Fatalf("exit code %d for %q", code, text)
		}
		fromFile := map[string]string{}
		for _, s := range settings {
			if _, ok := object[s.Name]; ok != (s.Source != "default") {
				t.Errorf("the source of %s is %s", s.Name, s.Source)
			}
			if s.Source != "default" {
				fromFile[s.Name] = s.Value
			}
		}
		rewritten, err := json.Marshal(fromFile)
		if err != nil {
			t.Fatal(err)
		}
		code, again := showSettings(t, string(rewritten))
		for i := range settings {
			if code != exitOK || again[i].Value != settings[i].Value {
				t.Fatalf("%q has %+v; rewritten as %s it has exit code %d, %+v", text, settings, rewritten, code, again)
			}
		}
	})
}

// showSettings returns the exit code and the result of pawl config with a settings file.
func showSettings(t *testing.T, text string) (int, []setting) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	args := []string{"config", "--json", "--config", path}
	code := run(t.Context(), args, stdio{in: strings.NewReader(""), out: &stdout, err: &stderr})
	if code != exitOK && !strings.HasPrefix(stderr.String(), "pawl: ") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	var settings []setting // all of them, even if one is invalid
	if err := json.Unmarshal(stdout.Bytes(), &settings); err != nil {
		t.Fatalf("%v: %s", err, &stdout)
	}
	return code, settings
}
