package app_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/app"
)

// TestParseStoreAddress checks the kind, the folder and the text of each form of an address.
func TestParseStoreAddress(t *testing.T) {
	for text, want := range map[string]struct {
		kind         app.StoreKind
		folder, text string
	}{
		"":                             {kind: app.SQLite, text: "sqlite:"},
		"sqlite:":                      {kind: app.SQLite, text: "sqlite:"},
		"sqlite:/var/lib/pawl":         {kind: app.SQLite, folder: "/var/lib/pawl", text: "sqlite:/var/lib/pawl"},
		"postgres://pawl@db1,db2/pawl": {kind: app.Postgres, text: "postgres://pawl@db1,db2/pawl"},
		"postgresql://db/pawl?sslmode=require": {
			kind: app.Postgres, text: "postgresql://db/pawl?sslmode=require",
		},
	} {
		address, err := app.ParseStoreAddress(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if address.Kind() != want.kind || address.Folder != want.folder || address.String() != want.text {
			t.Errorf("%q: %s %q %s, want %+v", text, address.Kind(), address.Folder, address, want)
		}
	}
	for _, text := range []string{"pawl-data", "mysql:pawl", "postgres:pawl", "postgres://h/d?sslmode=never"} {
		if address, err := app.ParseStoreAddress(text); err == nil {
			t.Errorf("%q was accepted as %s", text, address)
		}
	}
}

// TestStoreAddressHidesPasswords checks that neither an address nor the error for one contains a password.
func TestStoreAddressHidesPasswords(t *testing.T) {
	for _, text := range []string{
		"postgres://pawl:topsecret@db/pawl",
		"postgres://db/pawl?user=pawl&password=topsecret",
		"postgres://db/pawl?sslmode=disable&p%61ssword=topsecret&sslpassword=topsecret",
		"postgres://pawl:#topsecret@db/pawl",
		"postgres://pawl:/topsecret@db/pawl",
		"postgres://pawl:topsecret@db/pawl?sslmode=topsecret",
	} {
		address, err := app.ParseStoreAddress(text)
		shown := address.String()
		if err != nil {
			shown = err.Error()
		}
		if strings.Contains(shown, "topsecret") {
			t.Errorf("%s is shown as %s", text, shown)
		}
	}
}

// TestMustExist checks that OpenStore creates a store only if it may.
func TestMustExist(t *testing.T) {
	config := app.StoreConfig{Address: app.StoreAddress{Folder: filepath.Join(t.TempDir(), "data")}, MustExist: true}
	if _, err := app.OpenStore(t.Context(), config); err == nil || !strings.Contains(err.Error(), "there is no store") {
		t.Errorf("a store that does not exist: %v", err)
	}
	if _, err := app.OpenStore(t.Context(), app.StoreConfig{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("an address without a folder: %v", err)
	}
	for _, mustExist := range []bool{false, true} {
		config.MustExist = mustExist
		store, err := app.OpenStore(t.Context(), config)
		if err != nil {
			t.Fatalf("MustExist %v: %v", mustExist, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
