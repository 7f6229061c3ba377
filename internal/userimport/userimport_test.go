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

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestForeignHashes in internal/password has the same hashes, and names the programs that made them.
const (
	secret   = "Correct#Horse7"
	bcrypt   = "$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW"
	scrypt   = "$scrypt$ln=10,r=8,p=1$q5XyHoMQIqTU+t+b8/7/nw$FBD2LZdLZ6xW/KhR97UdG0q9GUntkHhvdLJq2gLtStY"
	argon2id = "$argon2id$v=19$m=1024,t=3,p=4$bedOyMIC0nn14ywWbyuxuw$HUb2xYlCtJ/FgAS4FrHIug"
	identity = "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw=="
)

const people = `{"login":"Bcrypt@example.com","passwordHash":"` + bcrypt + `","firstName":"Ada","networkId":7,` +
	`"mailboxId":0,"authLevel":"NetworkUser","created":"2019-05-07T20:00:00Z","userId":4821}
{"login":"scrypt@example.com","passwordHash":"` + scrypt + `","email":"s@example.com","status":"Preproduction"}

{"LOGIN":"argon2id@example.com","password_hash":"` + argon2id + `"}
	{ "login" : "identity@example.com", "passwordHash":"` + identity + `"}
{"login":"suspended@example.com","passwordHash":"` + bcrypt + `","status":"Suspended"}
`

// passwords has the passwords of the users of people who may sign in.
var passwords = map[string]string{
	"bcrypt@example.com": secret, "scrypt@example.com": secret, "argon2id@example.com": secret,
	"identity@example.com": "my password",
}

// onEachStore runs a test on a Pawl with each kind of store.
func onEachStore(t *testing.T, test func(t *testing.T, a *app.App)) {
	box, err := seal.NewBox(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	cluster := pgtest.Shared(t)
	for name, address := range map[string]string{
		"PostgreSQL": cluster.DSN(cluster.Database(t)),
		"SQLite":     "sqlite:" + t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			store, err := app.ParseStoreAddress(address)
			if err != nil {
				t.Fatal(err)
			}
			a, err := app.Open(t.Context(), app.Config{
				Store: store, MasterKey: box, Argon2: password.Params{MemoryKiB: 64, Passes: 1},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { a.Close() })
			test(t, a)
		})
	}
}

// reading is an import of a text.
type reading struct {
	store    userimport.Store
	format   userimport.Format
	text     string
	progress func(bytes, lines int64)
}

// run runs the import, and returns a line of text for each skipped line.
func (r reading) run(ctx context.Context) (userimport.Summary, string, error) {
	var skipped strings.Builder
	summary, err := userimport.Run(ctx, strings.NewReader(r.text), userimport.Config{
		Store: r.store, Format: r.format, Tenant: authority.Tenant{NetworkID: 1, MailboxID: 2},
		Clock: time.Now, Progress: r.progress,
		Skipped: func(line int64, reason error) { fmt.Fprintf(&skipped, "line %d: %v\n", line, reason) },
	})
	return summary, skipped.String(), err
}

// wantSummary runs the import, and ends the test if its summary is another one.
func (r reading) wantSummary(t *testing.T, want userimport.Summary) {
	t.Helper()
	summary, skipped, err := r.run(t.Context())
	if err != nil || summary != want {
		t.Fatalf("the import returned %+v, %v; want %+v\n%s", summary, err, want, skipped)
	}
}

func hashOf(t *testing.T, a *app.App, login string) string {
	t.Helper()
	_, hash, err := a.Store.UserByLogin(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// TestImportAndSignIn signs in over HTTP with every kind of hash. The first sign-in replaces the hash by argon2id with
// the cost of the server, and a second import changes nothing.
func TestImportAndSignIn(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		server := httptest.NewServer(a.Handler)
		defer server.Close()
		c, err := client.New(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		r := reading{store: a.Store, format: userimport.JSONLines, text: people}
		r.wantSummary(t, userimport.Summary{Lines: 5, Imported: 5})
		want := authority.User{
			ID: 4821, Login: "Bcrypt@example.com", Email: "Bcrypt@example.com", FirstName: "Ada",
			Tenant: authority.Tenant{NetworkID: 7}, Level: authority.NetworkUser, Status: authority.Active,
			Created: 1557259200,
		}
		if u, err := a.Store.User(t.Context(), 4821); err != nil || *u != want {
			t.Errorf("imported %+v, want %+v, %v", u, want, err)
		}
		for login, passwd := range passwords {
			imported := hashOf(t, a, login)
			if _, err := c.Login(t.Context(), login, passwd+"x"); !errors.Is(err, client.ErrInvalidCredentials) {
				t.Errorf("%s with a wrong password: %v, want InvalidCredentials", login, err)
			}
			if hashOf(t, a, login) != imported {
				t.Errorf("%s: a wrong password replaced the hash", login)
			}
			var group sync.WaitGroup
			for range 3 { // concurrently, because one of them replaces the hash checked by the others
				group.Go(func() {
					if _, err := c.Login(t.Context(), login, passwd); err != nil {
						t.Errorf("%s: %v", login, err)
					}
				})
			}
			group.Wait()
			if hash := hashOf(t, a, login); !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
				t.Errorf("%s has the hash %.30s", login, hash)
			}
			if _, err := c.Login(t.Context(), login, passwd); err != nil {
				t.Errorf("%s with the new hash: %v", login, err)
			}
		}
		_, err = c.Login(t.Context(), "suspended@example.com", secret)
		if !errors.Is(err, client.ErrInvalidCredentials) {
			t.Errorf("a suspended user: %v, want InvalidCredentials", err)
		}
		before := hashOf(t, a, "bcrypt@example.com")
		r.wantSummary(t, userimport.Summary{Lines: 5, Unchanged: 5})
		if hashOf(t, a, "bcrypt@example.com") != before {
			t.Error("a second import replaced the new hash by the imported one")
		}
		events, err := a.Store.Events(t.Context(), audit.Filter{Kind: audit.UserCreated, Limit: 9})
		if err != nil || len(events) != 5 || events[0].Detail != "imported" {
			t.Errorf("the audit has %d events, want 5; %v", len(events), err)
		}
	})
}

// TestConflicts checks that an import never changes an existing user, and names the differing field.
func TestConflicts(t *testing.T) {
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
	onEachStore(t, func(t *testing.T, a *app.App) {
		reading{store: a.Store, format: userimport.JSONLines, text: people}.
			wantSummary(t, userimport.Summary{Lines: 5, Imported: 5})
		summary, skipped, err := reading{store: a.Store, format: userimport.CSV, text: other}.run(t.Context())
		if err != nil || summary != (userimport.Summary{Lines: 9, Imported: 1, Unchanged: 1, LeftOut: 7}) {
			t.Errorf("%+v, %v", summary, err)
		}
		lines := strings.Split(skipped, "\n")
		for i, want := range []string{
			"line 2: passwordHash", "line 3: login", "line 4: networkId", "line 5: authLevel",
			"line 6: userId is taken", "line 7: status", "line 10: email",
		} {
			if got := lines[i]; !strings.HasPrefix(got, want) {
				t.Errorf("skipped %q, want %q", got, want)
			}
		}
		if hashOf(t, a, "scrypt@example.com") != scrypt {
			t.Error("an import replaced the hash of an existing user")
		}
	})
}

// TestExternalIDs imports users with external ids. With one, a user needs no password hash, and a login that is not a
// mail address leaves the email empty.
func TestExternalIDs(t *testing.T) {
	const users = "login,passwordHash,externalId,userId\n" +
		"ada,,idp|1,\n" +
		"bob@example.com," + bcrypt + ",idp|2,900\n" +
		"eve," + bcrypt + ",idp|1,\n" +
		"eve," + bcrypt + ",,900\n" +
		"eve," + bcrypt + ",idp|1,901\n" +
		"ada,,idp|3,\n"
	onEachStore(t, func(t *testing.T, a *app.App) {
		r := reading{store: a.Store, format: userimport.CSV, text: users}
		for i, want := range []userimport.Summary{
			{Lines: 6, Imported: 2, LeftOut: 4}, {Lines: 6, Unchanged: 2, LeftOut: 4},
		} {
			summary, skipped, err := r.run(t.Context())
			if err != nil || summary != want {
				t.Errorf("run %d: %+v, %v; want %+v", i, summary, err, want)
			}
			const reasons = "line 4: externalId is taken by another user.\n" +
				"line 5: userId is taken by another user.\n" +
				"line 6: userId or externalId is taken by another user.\n" +
				"line 7: externalId differs from the existing user with this login, which stays unchanged.\n"
			if skipped != reasons {
				t.Errorf("run %d skipped\n%s, want\n%s", i, skipped, reasons)
			}
		}
		u, err := a.Store.UserByExternalID(t.Context(), "idp|1")
		if err != nil || u.Login != "ada" || u.Email != "" || hashOf(t, a, "ada") != "" {
			t.Errorf("imported %+v, %v", u, err)
		}
	})
}

// TestOneLogin checks that two spellings of one login in one page are one user, and that white space around a login is
// removed.
func TestOneLogin(t *testing.T) {
	const logins = "login,passwordHash,email\n" +
		"ｇｒａｃｅ," + bcrypt + ",g@example.com\n" +
		"grace," + bcrypt + ",g@example.com\n" +
		"\u00a0hopper," + bcrypt + ",h@example.com\n" +
		"hopper," + bcrypt + ",h@example.com\n"
	onEachStore(t, func(t *testing.T, a *app.App) {
		r := reading{store: a.Store, format: userimport.CSV, text: logins}
		summary, skipped, err := r.run(t.Context())
		want := userimport.Summary{Lines: 4, Imported: 2, Unchanged: 1, LeftOut: 1}
		if err != nil || summary != want || !strings.HasPrefix(skipped, "line 3: login") {
			t.Errorf("%+v, %q, %v; want %+v and a conflict in line 3", summary, skipped, err, want)
		}
	})
}

// TestCutOff interrupts an import after its first page. The same import again adds the other users.
func TestCutOff(t *testing.T) {
	var text strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, bcrypt)
	}
	onEachStore(t, func(t *testing.T, a *app.App) {
		ctx, interrupt := context.WithCancel(t.Context())
		r := reading{store: a.Store, format: userimport.JSONLines, text: text.String()}
		r.progress = func(int64, int64) { interrupt() }
		if summary, _, err := r.run(ctx); !errors.Is(err, context.Canceled) || summary.Imported != 1000 {
			t.Fatalf("an interrupted import returned %+v, %v; want 1000 users", summary, err)
		}
		r.wantSummary(t, userimport.Summary{Lines: 2500, Imported: 1500, Unchanged: 1000})
	})
}

// TestBadLines checks that a bad line is reported with its number and field but without its hash, and that the lines
// around it are imported.
func TestBadLines(t *testing.T) {
	good := `{"login":"a@example.com","passwordHash":"` + bcrypt + `"}`
	with := func(more string) string { return strings.Replace(good, "{", "{"+more+",", 1) }
	for line, want := range map[string]string{
		`x`:                                 "not one JSON object",
		`[]`:                                "not one JSON object",
		`{"login":"` + bcrypt:               "breaks at byte",
		good + good:                         "breaks at byte",
		`{}`:                                "login is missing",
		`{"login":"a@b.c"}`:                 "passwordHash is missing",
		with(`"login":"a@b.c"`):             "has login twice",
		with(`"Login":"a@b.c"`):             "has login twice",
		with(`"networkId":"7"`):             "networkId has the wrong type",
		with(`"networkId":7.5`):             "networkId has the wrong type",
		with(`"networkId":-1`):              "networkId must be 0 or more",
		with(`"userId":0`):                  "userId must be from 1",
		with(`"userId":4503599627370497`):   "userId must be from 1",
		with(`"password":"x"`):              `there is no field "password"`,
		with(`"authLevel":"Boss"`):          "authLevel must be one of",
		with(`"authLevel":"NoChange"`):      "authLevel must be one of",
		with(`"status":"active"`):           "status must be one of",
		with(`"created":"May"`):             "created must be a time",
		with(`"email":"a"`):                 "email is not",
		with(`"externalId":"a\u0000"`):      "externalId must have",
		`{"login":"a@b.c","externalId":""}`: "passwordHash is missing",
		with(`"firstName":"a\u0000"`):       "firstName must have",
		with(`"firstName":"` + strings.Repeat("a", 20_000) + `"`): "longer than 16 KiB",
		strings.Replace(good, "a@", "\xff@", 1):                   "breaks at byte",
		strings.Replace(good, "$2y$05", "$2y$31", 1):              "passwordHash costs too much",
		strings.Replace(good, bcrypt, secret, 1):                  "passwordHash has an unknown form",
	} {
		t.Run(want, func(t *testing.T) {
			text := good + "\r\n\n" + line + "\n" + good
			summary, skipped, err := reading{format: userimport.JSONLines, text: text}.run(t.Context())
			if err != nil || summary.Lines != 3 || summary.LeftOut != 1 {
				t.Errorf("%+v, %v; want 3 lines, 1 of them skipped", summary, err)
			}
			if !strings.HasPrefix(skipped, "line 3: ") || !strings.Contains(skipped, want) {
				t.Errorf("skipped %q, want line 3: %q", skipped, want)
			}
			if strings.Contains(skipped, bcrypt[7:]) || strings.Contains(skipped, secret) {
				t.Errorf("%q has a secret in it", skipped)
			}
		})
	}
}

// TestBadCSV is TestBadLines for CSV, and checks that a file with a bad first line is rejected.
func TestBadCSV(t *testing.T) {
	const head = "Login,Password_Hash,network_id\n"
	const good = "a@example.com," + bcrypt + ",7\n"
	for line, want := range map[string]string{
		`"a@example.com,` + bcrypt + ",7":   "a quote is missing",
		"a@example.com," + bcrypt:           "has 2 fields, but the first line has 3",
		"a@example.com," + bcrypt + ",x":    "networkId must be a whole number",
		"a\xff@example.com," + bcrypt + ",": "the line is not UTF-8; save",
	} {
		text := "\xef\xbb\xbf" + head + good + line + "\n" + good
		summary, skipped, err := reading{format: userimport.CSV, text: text}.run(t.Context())
		if err != nil || summary.Lines != 3 || summary.LeftOut != 1 {
			t.Errorf("%+v, %v; want 3 lines, 1 of them skipped", summary, err)
		}
		if !strings.HasPrefix(skipped, "line 3: ") || !strings.Contains(skipped, want) {
			t.Errorf("skipped %q, want line 3: %q", skipped, want)
		}
		if strings.Contains(skipped, bcrypt) {
			t.Errorf("%q has a hash in it", skipped)
		}
	}
	for header, want := range map[string]string{
		"login;passwordHash":       `separated by ";"; save the file with commas`,
		"Login\tpasswordHash":      `separated by "\t"`,
		"Pr\xe9nom,login":          "line 1: the line is not UTF-8",
		"PK\x03\x04login,email":    "a workbook of a spreadsheet",
		"\xff\xfel\x00o\x00":       "the file is in UTF-16; save it in UTF-8",
		"l\x00o\x00g\x00":          "the file is in UTF-16",
		"login,email":              "the first line must name",
		"externalId,passwordHash":  "the first line must name",
		"login,LOGIN,passwordHash": "twice",
		good:                       "no field",
	} {
		_, _, err := reading{format: userimport.CSV, text: header + "\n" + good}.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the header %q: %v, want %q", header, err, want)
		}
	}
}

// TestNoHeader checks that a CSV file without a header is rejected, and that the error has no value of its first line.
func TestNoHeader(t *testing.T) {
	for _, first := range []string{bcrypt, secret, identity, "ada@example.com"} {
		_, _, err := reading{format: userimport.CSV, text: first + ",ada@example.com\n"}.run(t.Context())
		want := "no field with the name of column 1; the fields are userId"
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), first[:5]) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestIDsAreLeft checks that an import cannot use up the ids that are exact in JSON.
func TestIDsAreLeft(t *testing.T) {
	onEachStore(t, func(t *testing.T, a *app.App) {
		for _, id := range []int64{1 << 52, 1<<52 + 1, 1<<53 - 1} {
			line := fmt.Sprintf(`{"login":"u%d@example.com","passwordHash":"%s","userId":%d}`, id, bcrypt, id)
			r := reading{store: a.Store, format: userimport.JSONLines, text: line}
			if _, _, err := r.run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		user := authority.User{Login: "next@example.com"}
		next, err := a.Store.CreateUser(t.Context(), authority.Rights{}, user, argon2id)
		if err != nil || next.ID != 1<<52+1 {
			t.Errorf("the next user is %+v, %v; want the id 1<<52+1", next, err)
		}
	})
}
