package app_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
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

// TestMustExist checks that OpenStore creates a store only if it may, and then accepts only one with an administrator.
func TestMustExist(t *testing.T) {
	config := app.StoreConfig{Address: app.StoreAddress{Folder: filepath.Join(t.TempDir(), "data")}, MustExist: true}
	if _, err := app.OpenStore(t.Context(), config); err == nil || !strings.Contains(err.Error(), "there is no store") {
		t.Errorf("a store that does not exist: %v", err)
	}
	if _, err := app.OpenStore(t.Context(), app.StoreConfig{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("an address without a folder: %v", err)
	}
	open := func(mustExist bool) (app.Store, error) {
		config.MustExist = mustExist
		return app.OpenStore(t.Context(), config)
	}
	root := authority.User{Login: "root", Level: authority.Root, Status: authority.Active}
	for _, create := range []func(app.Store) error{
		func(app.Store) error { return nil },
		func(s app.Store) error {
			_, err := s.CreateUser(t.Context(), authority.Rights{}, root, "hash")
			return err
		},
	} {
		if _, err := open(true); err == nil {
			t.Error("a store without an administrator was opened")
		}
		store, err := open(false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(create(store), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	store, err := open(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
