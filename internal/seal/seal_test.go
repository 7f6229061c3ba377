package seal_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/seal"
)

func newBox(t *testing.T) *seal.Box {
	t.Helper()
	box, err := seal.NewBox(" " + seal.NewKey() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestSeal(t *testing.T) {
	box := newBox(t)
	sealed := box.Seal("name", "the secret")
	if !seal.Sealed(sealed) || strings.Contains(sealed, "secret") || sealed == box.Seal("name", "the secret") {
		t.Errorf("Seal = %q; want a sealed text that hides the secret and differs each time", sealed)
	}
	if got, err := box.Open("name", sealed); err != nil || got != "the secret" {
		t.Errorf("Open = %q, %v", got, err)
	}
	for name, open := range map[string]func() (string, error){
		"another key":  func() (string, error) { return newBox(t).Open("name", sealed) },
		"another name": func() (string, error) { return box.Open("other", sealed) },
		"truncated":    func() (string, error) { return box.Open("name", sealed[:len(sealed)-4]) },
		"not base64":   func() (string, error) { return box.Open("name", sealed+"!") },
		"empty":        func() (string, error) { return box.Open("name", "") },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrOpen) || got != "" {
			t.Errorf("%s: Open = %q, %v; want ErrOpen", name, got, err)
		}
	}
}

func TestNewBoxRejects(t *testing.T) {
	for _, text := range []string{"", "short", "AAAA", seal.NewKey() + "AAAA", strings.Repeat("x", 44)} {
		if _, err := seal.NewBox(text); !errors.Is(err, seal.ErrKey) {
			t.Errorf("NewBox(%q): %v; want ErrKey", text, err)
		}
	}
}
