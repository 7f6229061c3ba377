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

// TestSettingsFileIsRefused holds files that must not pass for settings.
func TestSettingsFileIsRefused(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `{} {}`, `{"token-life":"1h","token-life":"2h"}`, `{"Issuer":"x"}`, `{"issuer":null}`, `{"config":"x"}`} {
		if code, got := showSettings(t, text); code != exitUsage {
			t.Errorf("%s: exit %d, %+v", text, code, got)
		}
	}
}

// FuzzSettings shows what any settings file sets. A file is taken or refused as
// a wrong setting; one that is taken means the same when it is written anew.
func FuzzSettings(f *testing.F) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PAWL_") {
			f.Setenv(name, "") // puts it back at the end
			os.Unsetenv(name)  // as of a shell with the variables of pawl dev
		}
	}
	for _, seed := range []string{
		`{}`, `null`, ``, `[]`, `{"token-life":"15m","addr":":9090"}`, `{"token-life":900}`, `{"token-life":1e300}`, `{"password-memory":65536.5}`,
		`{"token-life":"1h","token-life":"2h"}`, `{"issuer":"${algorithm}","audience":"\ud800"}`, `{"algorithm":"none"}`, `{"config":"x"}`, `{"help":true}`,
		`{"data":"--addr","tls-cert":"a","tls-key":"b"}`, `{"issuer":""}`, `{"issuer":{"a":1}}`, `{"bearer-grace":"1.5s"}`, `{"Issuer":"x"}`, `{"password-lanes":256}`,
		`{"session-life":"99999h"}`, `{"password-rule":"length","refresh-key":"bound","keyless-retry":"5s"} x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, got := showSettings(t, text)
		if code == exitUsage {
			return
		}
		var object map[string]any
		if code != exitOK || json.Unmarshal([]byte(text), &object) != nil || object == nil || !utf8.ValidString(text) {
			t.Fatalf("exit %d for %q", code, text)
		}
		given := map[string]string{}
		for _, s := range got {
			if _, there := object[s.Name]; there != (s.Source != "default") {
				t.Errorf("%s comes from %s", s.Name, s.Source)
			}
			if s.Source != "default" {
				given[s.Name] = s.Value
			}
		}
		anew, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		code, again := showSettings(t, string(anew))
		for i := range got {
			if code != exitOK || again[i].Value != got[i].Value {
				t.Fatalf("%q means %+v, and %s exit %d, %+v", text, got, anew, code, again)
			}
		}
	})
}

func showSettings(t *testing.T, text string) (int, []setting) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errors bytes.Buffer
	code := run(t.Context(), []string{"config", "--json", "--config", path}, stdio{strings.NewReader(""), &out, &errors})
	if code != exitOK {
		if !strings.HasPrefix(errors.String(), "pawl: ") || out.Len() > 0 {
			t.Errorf("exit %d: %s %s", code, &out, &errors)
		}
		return code, nil
	}
	var all []setting
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return code, all
}
