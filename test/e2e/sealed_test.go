//go:build linux

package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// signingKey returns the JWK of the only signing key in a folder.
func signingKey(t *testing.T, data string) (jwk string) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(data, "pawl.db"), sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.ExecuteTransient(conn, "SELECT jwk FROM signing_key", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error { jwk = stmt.ColumnText(0); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return jwk
}

// TestSealSigningKey gives a server a master key for the first time. The start seals the signing key and leaves no
// plaintext in the file. The audit and the log have it, once, and tokens from before stay valid. Then someone adds a
// signing key in plaintext, and the server refuses to start.
func TestSealSigningKey(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	before := s.mustLogin()
	s.shutDown()
	plaintext := signingKey(t, s.data)
	if !strings.Contains(readFile(t, filepath.Join(s.data, "pawl.db")), plaintext) {
		t.Fatal("the signing key of a store without a master key is not in the file")
	}
	s.env = []string{"PAWL_MASTER_KEY=" + seal.NewKey()}
	for range 2 {
		s.start()
		s.checkToken(true, "from before", before)
		bearer := client.WithBearer(s.mustLogin())
		events, err := s.once(bearer).Audit(t.Context(), api.AuditRequest{Kind: api.EventSigningKeySealed})
		if err != nil || len(events) != 1 {
			t.Errorf("the audit has the sealed keys %+v, %v; want one", events, err)
		}
		s.shutDown()
	}
	if !seal.Sealed(signingKey(t, s.data)) {
		t.Error("the signing key is not sealed")
	}
	for _, suffix := range []string{"", "-wal"} {
		files, _ := filepath.Glob(filepath.Join(s.data, "pawl.db"+suffix))
		for _, file := range files {
			if strings.Contains(readFile(t, file), plaintext) {
				t.Errorf("%s has the plaintext of the sealed key", file)
			}
		}
	}

	key, err := token.GenerateKey(token.HS256)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	alterBy(fmt.Sprintf("INSERT INTO signing_key (id, jwk, published, signs, retired) VALUES ('%s', '%s', 1, 1, 0)",
		key.ID(), jwk))(t, s.data)
	checkRefused(t, s.binary, s.data, "is not encrypted with the master key", s.env)
}
