//go:build linux

package userimport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/userimport"
)

// The hashes are those of internal/password's TestForeignHashes, which says
// what made them.
const (
	secret   = "Correct#Horse7"
	bcrypt   = "$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW"
	scrypt   = "$scrypt$ln=10,r=8,p=1$q5XyHoMQIqTU+t+b8/7/nw$FBD2LZdLZ6xW/KhR97UdG0q9GUntkHhvdLJq2gLtStY"
	argon2id = "$argon2id$v=19$m=1024,t=3,p=4$bedOyMIC0nn14ywWbyuxuw$HUb2xYlCtJ/FgAS4FrHIug"
	identity = "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw=="
)

const people = `{"login":"Bcrypt@example.com","passwordHash":"` + bcrypt + `","firstName":"Ada","networkId":7,"mailboxId":0,"authLevel":"NetworkUser","created":"2019-05-07T20:00:00Z","userId":4821}
{"login":"scrypt@example.com","passwordHash":"` + scrypt + `","email":"s@example.com","status":"Preproduction"}

{"LOGIN":"argon2id@example.com","password_hash":"` + argon2id + `"}
	{ "login" : "identity@example.com", "passwordHash":"` + identity + `"}
{"login":"suspended@example.com","passwordHash":"` + bcrypt + `","status":"Suspended"}
`

var passwords = map[string]string{"bcrypt@example.com": secret, "scrypt@example.com": secret, "argon2id@example.com": secret, "identity@example.com": "my password"}

// onEachStore runs a test on a Pawl that serves, one on each kind of store.
func onEachStore(t *testing.T, test func(t *testing.T, a *app.App)) {
	box, err := seal.NewBox(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	cluster := pgtest.Start(t)
	for name, address := range map[string]string{"PostgreSQL": cluster.DSN(cluster.Database(t)), "SQLite": "sqlite:" + t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			store, err := app.ParseStoreAddress(address)
			if err != nil {
				t.Fatal(err)
			}
			a, err := app.Open(t.Context(), app.Config{Store: store, MasterKey: box, Argon2: password.Params{MemoryKiB: 64, Passes: 1}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { a.Close() })
			test(t, a)
		})
	}
}

// read imports a text, and returns what was said of the lines that were left out.
func read(ctx context.Context, store userimport.Store, format userimport.Format, text string, progress func(int64, int64)) (userimport.Summary, string, error) {
	var said strings.Builder
	sum, err := userimport.Run(ctx, strings.NewReader(text), userimport.Config{Store: store, Format: format, Standard: authority.Tenant{NetworkID: 1, MailboxID: 2},
		Clock: time.Now, Progress: progress, LeftOut: func(line int64, why error) { fmt.Fprintf(&said, "line %d: %v\n", line, why) }})
	return sum, said.String(), err
}

func hashOf(t *testing.T, a *app.App, login string) string {
	t.Helper()
	_, hash, err := a.Store.UserByLogin(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// TestImportAndSignIn: every kind of hash signs in over HTTP, is argon2id of
// the server's cost after that, and a second import changes nothing.
func TestImportAndSignIn(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		server := httptest.NewServer(a.Handler)
		defer server.Close()
		c, err := client.New(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if sum, said, err := read(t.Context(), a.Store, userimport.JSONLines, people, nil); err != nil || sum != (userimport.Summary{Lines: 5, Imported: 5}) {
			t.Fatalf("%+v, %v\n%s", sum, err, said)
		}
		want := authority.User{ID: 4821, Login: "Bcrypt@example.com", Email: "Bcrypt@example.com", FirstName: "Ada", Tenant: authority.Tenant{NetworkID: 7},
			Level: authority.NetworkUser, Status: authority.Active, Created: 1557259200}
		if u, err := a.Store.User(t.Context(), 4821); err != nil || *u != want {
			t.Errorf("imported %+v, want %+v, %v", u, want, err)
		}
		for login, passwd := range passwords {
			imported := hashOf(t, a, login)
			if _, err := c.Login(t.Context(), login, passwd+"x"); !errors.Is(err, client.ErrInvalidCredentials) {
				t.Errorf("%s with another password: %v", login, err)
			}
			if hashOf(t, a, login) != imported {
				t.Errorf("%s: a wrong password replaced the hash", login)
			}
			var group sync.WaitGroup
			for range 3 { // one replaces the hash under the others
				group.Go(func() {
					if _, err := c.Login(t.Context(), login, passwd); err != nil {
						t.Errorf("%s: %v", login, err)
					}
				})
			}
			group.Wait()
			if now := hashOf(t, a, login); !strings.HasPrefix(now, "$argon2id$v=19$m=64,t=1,p=1$") {
				t.Errorf("%s: the hash is %.30s", login, now)
			}
			if _, err := c.Login(t.Context(), login, passwd); err != nil {
				t.Errorf("%s, again: %v", login, err)
			}
		}
		if _, err := c.Login(t.Context(), "suspended@example.com", secret); !errors.Is(err, client.ErrInvalidCredentials) {
			t.Errorf("a suspended user: %v", err)
		}
		before := hashOf(t, a, "bcrypt@example.com")
		if sum, said, err := read(t.Context(), a.Store, userimport.JSONLines, people, nil); err != nil || sum != (userimport.Summary{Lines: 5, Unchanged: 5}) {
			t.Errorf("again: %+v, %v\n%s", sum, err, said)
		}
		if hashOf(t, a, "bcrypt@example.com") != before {
			t.Error("a second import put the old hash back")
		}
		events, err := a.Store.Events(t.Context(), audit.Filter{Kind: audit.UserCreated, Limit: 9})
		if err != nil || len(events) != 5 || events[0].Detail != "imported" {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
}

// TestConflicts: whoever is there stays as they are.
func TestConflicts(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		if _, _, err := read(t.Context(), a.Store, userimport.JSONLines, people, nil); err != nil {
			t.Fatal(err)
		}
		const other = `login,passwordHash,userId,email,networkId,authLevel,status
scrypt@example.com,` + bcrypt + `,,s@example.com,,,Preproduction
SCRYPT@example.com,"` + scrypt + `",,s@example.com,,,Preproduction
argon2id@example.com,` + bcrypt + `,,,9,,
identity@example.com,` + identity + `,,,,Root,
new@example.com,` + bcrypt + `,4821,,,,
suspended@example.com,` + bcrypt + `,,,,,
bcrypt2@example.com,` + bcrypt + `,,,,,
bcrypt2@example.com,` + bcrypt + `,,,,,
bcrypt2@example.com,` + bcrypt + `,,else@example.com,,,
`
		sum, said, err := read(t.Context(), a.Store, userimport.CSV, other, nil)
		if err != nil || sum != (userimport.Summary{Lines: 9, Imported: 1, Unchanged: 1, LeftOut: 7}) {
			t.Errorf("%+v, %v", sum, err)
		}
		for i, want := range []string{"line 2: passwordHash", "line 3: login", "line 4: networkId", "line 5: authLevel", "line 6: userId is taken", "line 7: status", "line 10: email"} {
			if got := strings.Split(said, "\n")[i]; !strings.HasPrefix(got, want) {
				t.Errorf("said %q, want %q", got, want)
			}
		}
		if hashOf(t, a, "scrypt@example.com") != scrypt {
			t.Error("a hash was put over another")
		}
	})
}

// TestCutOff ends an import after its first page; the same again makes it whole.
func TestCutOff(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		var text strings.Builder
		for i := range 2500 {
			fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, bcrypt)
		}
		ctx, cut := context.WithCancel(t.Context())
		sum, _, err := read(ctx, a.Store, userimport.JSONLines, text.String(), func(int64, int64) { cut() })
		if !errors.Is(err, context.Canceled) || sum.Imported != 1000 {
			t.Fatalf("%+v, %v", sum, err)
		}
		if sum, _, err := read(t.Context(), a.Store, userimport.JSONLines, text.String(), nil); err != nil || sum != (userimport.Summary{Lines: 2500, Imported: 1500, Unchanged: 1000}) {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

// TestBadLines: each is named with its number and the field, has nothing of a
// hash in it, and takes no other line with it.
func TestBadLines(t *testing.T) {
	good := `{"login":"a@example.com","passwordHash":"` + bcrypt + `"}`
	with := func(more string) string { return strings.Replace(good, "{", "{"+more+",", 1) }
	for line, want := range map[string]string{
		`x`:                               "not one JSON object",
		`[]`:                              "not one JSON object",
		`{"login":"` + bcrypt:             "breaks at byte",
		good + good:                       "breaks at byte",
		`{}`:                              "login is missing",
		`{"login":"a@b.c"}`:               "passwordHash is missing",
		with(`"login":"a@b.c"`):           "login is there twice",
		with(`"Login":"a@b.c"`):           "login is there twice",
		with(`"networkId":"7"`):           "networkId has the wrong type",
		with(`"networkId":7.5`):           "networkId has the wrong type",
		with(`"networkId":-1`):            "networkId must be 0 or more",
		with(`"userId":0`):                "userId must be from 1",
		with(`"userId":4503599627370497`): "userId must be from 1",
		with(`"password":"x"`):            `there is no field "password"`,
		with(`"authLevel":"Boss"`):        "authLevel must be one of",
		with(`"authLevel":"NoChange"`):    "authLevel must be one of",
		with(`"status":"active"`):         "status must be one of",
		with(`"created":"May"`):           "created must be a time",
		with(`"email":"a"`):               "email is missing or is not",
		with(`"firstName":"a\u0000"`):     "firstName must have",
		with(`"firstName":"` + strings.Repeat("a", 20_000) + `"`): "longer than 16 KiB",
		strings.Replace(good, "a@", "\xff@", 1):                   "breaks at byte",
		strings.Replace(good, "$2y$05", "$2y$31", 1):              "passwordHash costs too much",
		strings.Replace(good, bcrypt, secret, 1):                  "passwordHash is none of",
	} {
		t.Run(want, func(t *testing.T) {
			sum, said, err := read(t.Context(), nil, userimport.JSONLines, good+"\r\n\n"+line+"\n"+good, nil)
			if err != nil || sum.Lines != 3 || sum.LeftOut != 1 || !strings.HasPrefix(said, "line 3: ") || !strings.Contains(said, want) {
				t.Errorf("%+v, %v, %q, want %q", sum, err, said, want)
			}
			if strings.Contains(said, bcrypt[7:]) || strings.Contains(said, secret) {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func TestBadCSV(t *testing.T) {
	const head, good = "Login,Password_Hash,network_id\n", "a@example.com," + bcrypt + ",7\n"
	for line, want := range map[string]string{
		`"a@example.com,` + bcrypt + ",7":   "a quote is missing",
		"a@example.com," + bcrypt:           "has 2 fields, and the first line 3",
		"a@example.com," + bcrypt + ",x":    "networkId must be a whole number",
		"a\xff@example.com," + bcrypt + ",": "login must have",
	} {
		sum, said, err := read(t.Context(), nil, userimport.CSV, "\xef\xbb\xbf"+head+good+line+"\n"+good, nil)
		if err != nil || sum.Lines != 3 || sum.LeftOut != 1 || !strings.HasPrefix(said, "line 3: ") || !strings.Contains(said, want) || strings.Contains(said, bcrypt) {
			t.Errorf("%+v, %v, %q, want %q", sum, err, said, want)
		}
	}
	for header, want := range map[string]string{"login;passwordHash": "there is no field", "login,email": "the first line must name", "login,LOGIN,passwordHash": "twice", good: "no field"} {
		if _, _, err := read(t.Context(), nil, userimport.CSV, header+"\n"+good, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the header %q: %v, want %q", header, err, want)
		}
	}
}

// TestNoHeader: a CSV file that begins with a user is refused, and what is in
// the line is not said.
func TestNoHeader(t *testing.T) {
	for _, first := range []string{bcrypt, secret, identity, "ada@example.com"} {
		_, _, err := read(t.Context(), nil, userimport.CSV, first+",ada@example.com\n", nil)
		if err == nil || !strings.Contains(err.Error(), "no field with the name of column 1; the fields are userId") || strings.Contains(err.Error(), first[:5]) {
			t.Errorf("%v", err)
		}
	}
}

// TestIDsAreLeft: an import cannot use up the ids that readers of JSON take.
func TestIDsAreLeft(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		for _, id := range []int64{1 << 52, 1<<52 + 1, 1<<53 - 1} {
			line := fmt.Sprintf(`{"login":"u%d@example.com","passwordHash":"%s","userId":%d}`, id, bcrypt, id)
			if _, _, err := read(t.Context(), a.Store, userimport.JSONLines, line, nil); err != nil {
				t.Fatal(err)
			}
		}
		next, err := a.Store.CreateUser(t.Context(), authority.User{Login: "next@example.com"}, argon2id)
		if err != nil || next.ID != 1<<52+1 {
			t.Errorf("the next user is %+v, %v", next, err)
		}
	})
}
