package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// submit sends the form of the page, and waits for the notice or the message of an error.
func (b tab) submit() string {
	b.Helper()
	eval[bool](b, `globalThis.stale = true`)
	b.click("form .main")
	b.until(`!globalThis.stale && document.readyState === "complete"`)
	const shown = `.notice, .problem, .card:not(:has(.problem)) h1`
	return b.text(shown)
}

// choose sets the value of a select field.
func (b tab) choose(name, value string) {
	b.Helper()
	eval[string](b, fmt.Sprintf(`document.querySelector("[name=%s]").value = %q`, name, value))
}

// replace replaces the text of a field.
func (b tab) replace(name, text string) {
	b.Helper()
	eval[string](b, fmt.Sprintf(`document.querySelector("[name=%s]").value = ""`, name))
	b.fill(name, text)
}

// TestPerson creates a person and takes each action on it. The API must show each effect.
func TestPerson(t *testing.T) {
	pawl := newPawl(t)
	admin := adminOf(pawl)
	b := asAdmin(t, pawl)
	b.open("/people/new")
	b.fill("login", pawltest.Login)
	if got := b.submit(); !strings.Contains(got, "login is taken") {
		t.Errorf("a taken login: %q", got)
	}
	b.replace("login", "eva@example.com")
	b.fill("password", "Str0ng!enough")
	b.fill("lastName", "Eriksen")
	if got := b.submit(); got != "The person is created." {
		t.Fatalf("create: %q", got)
	}
	id := eval[int64](b, `Number(location.pathname.split("/").pop())`)
	user := func() api.User {
		t.Helper()
		u, err := admin.User(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	login := func(password string) error {
		_, err := pawl.Client().Login(t.Context(), "eva@example.com", password)
		return err
	}
	if u := user(); u.LastName != "Eriksen" || u.AuthLevel != api.LevelMailboxUser || login("Str0ng!enough") != nil {
		t.Errorf("created %+v", u)
	}
	person := fmt.Sprintf("/people/%d", id)
	b.open(person + "/edit")
	b.replace("email", "eva.e@example.com")
	b.replace("externalId", "idp:7")
	if got := b.submit(); got != "The change is saved." || user().Email != "eva.e@example.com" {
		t.Errorf("edit: %q, %+v", got, user())
	}
	b.open(person + "/role")
	b.choose("level", "MailboxAdmin")
	b.replace("mailbox", "7")
	if got := b.submit(); got != "The change is saved." || user().AuthLevel != api.LevelMailboxAdmin ||
		user().MailboxID != 7 {
		t.Errorf("role: %q, %+v", got, user())
	}
}

// TestStatus sets the password of a person, suspends, resumes and removes the person.
func TestStatus(t *testing.T) {
	pawl := newPawl(t)
	admin := adminOf(pawl)
	b := asAdmin(t, pawl)
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	user := func() api.User {
		t.Helper()
		u, err := admin.User(t.Context(), pawltest.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	login := func(password string) error {
		_, err := pawl.Client().Login(t.Context(), pawltest.Login, password)
		return err
	}
	b.open(person + "/password")
	b.fill("password", "short")
	if got := b.submit(); !strings.Contains(got, "8 characters") {
		t.Errorf("a short password: %q", got)
	}
	b.fill("password", "An0ther!one")
	if got := b.submit(); !strings.Contains(got, "all sessions have ended") || login("An0ther!one") != nil {
		t.Errorf("password: %q", got)
	}
	if effect := b.confirm(`a[href$="/suspend"]`); !strings.Contains(effect, "Ends 1 session of ") {
		t.Errorf("the question is %q", effect)
	}
	if user().Status != api.StatusSuspended || login("An0ther!one") == nil {
		t.Error("the person is not suspended")
	}
	b.confirm(`a[href$="/resume"]`)
	if user().Status != api.StatusActive || login("An0ther!one") != nil {
		t.Error("the person is not resumed")
	}
	b.confirm(`a[href$="/remove"]`)
	if user().Status != api.StatusTerminated || login("An0ther!one") == nil {
		t.Error("the person is not removed")
	}
}

// TestAPIKeys creates an API key, which the page shows once, and removes it.
func TestAPIKeys(t *testing.T) {
	pawl := newPawl(t)
	b := asAdmin(t, pawl)
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	b.open(person + "/keys")
	b.fill("name", "gateway")
	b.choose("scope", "Verify")
	b.fill("days", "30")
	if got := b.submit(); got != "The new API key" {
		t.Fatalf("the page has the title %q", got)
	}
	key := b.text("#key")
	keys, err := adminOf(pawl).ListAPIKeys(t.Context(), api.ListAPIKeysRequest{UserID: pawltest.UserID})
	if err != nil || len(keys) != 2 || keys[1].Name != "gateway" || keys[1].Scope != api.ScopeVerify {
		t.Fatalf("the API keys are %+v, %v", keys, err)
	}
	if _, err := pawl.Client(client.WithAPIKey(key)).Session(t.Context()); err != nil {
		t.Errorf("the shown API key does not work: %v", err)
	}
	b.open(person)
	if strings.Contains(b.text("main"), key) {
		t.Error("a page shows the API key again")
	}
	b.confirm(fmt.Sprintf(`a[href$="/keys/%d/remove"]`, keys[1].KeyID))
	if _, err := pawl.Client(client.WithAPIKey(key)).Session(t.Context()); err == nil {
		t.Error("the removed API key still works")
	}
}

// TestAccount uses the console as a plain user: the own page alone, with sessions and password.
func TestAccount(t *testing.T) {
	pawl := newPawl(t)
	const login, password = "plain@example.com", "Pl4in!user"
	user, err := adminOf(pawl).CreateUser(t.Context(), api.CreateUserRequest{Login: login, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pawl.Client().Login(t.Context(), login, password)
	if err != nil {
		t.Fatal(err)
	}
	b := newTab(t, pawl)
	b.signIn(login, password)
	b.until(`document.querySelectorAll("#sessions-table tbody tr").length === 2`)
	for _, path := range []string{"/people", "/audit", "/people/new", fmt.Sprintf("/people/%d", pawltest.UserID)} {
		b.open(path)
		shown := b.text("main")
		if !strings.Contains(shown, "ask an administrator") {
			t.Errorf("%s shows a plain user %q", path, shown)
		}
	}
	b.open(fmt.Sprintf("/people/%d/password", user.UserID))
	b.fill("current", "wrong")
	b.fill("password", "N3xt!password")
	if got := b.submit(); !strings.Contains(got, "current password is wrong") {
		t.Errorf("a wrong current password: %q", got)
	}
	b.fill("current", password)
	b.fill("password", "N3xt!password")
	if got := b.submit(); got != "The password is set." {
		t.Errorf("password: %q", got)
	}
	if _, err := pawl.Client(client.WithBearer(other.Token)).Session(t.Context()); err == nil {
		t.Error("the other session is live")
	}
	b.confirm("#end-all")
	b.until(`!!document.querySelector("[name=login]")`)
}
