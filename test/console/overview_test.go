package console_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

// TestNodes counts the nodes on the overview, while another one starts and ends.
func TestNodes(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	pawl := newPawl(t, pawltest.WithPostgres(dsn))
	b := asAdmin(t, pawl)
	const node = "127.0.0.1"
	wants := func(want string) {
		t.Helper()
		b.until(`document.querySelector(".facts")?.innerText.includes("Nodes\n` + want + `\n")`)
	}
	wants("1: " + node)
	address, err := app.ParseStoreAddress(dsn)
	if err != nil {
		t.Fatal(err)
	}
	other, err := app.OpenStore(t.Context(), app.StoreConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	b.open("")
	wants("2: " + node + ", " + node)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	wants("1: " + node) // the page updates itself
	if shown := b.text(".facts"); !strings.Contains(shown, "Signing key") || !strings.Contains(shown, "Mean time") {
		t.Errorf("the facts are %q", shown)
	}
}
