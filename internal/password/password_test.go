package password_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/prepare"
)

var cheap = password.Params{MemoryKiB: 64, Passes: 1}

func TestHashAndCheck(t *testing.T) {
	h := password.NewHasher(cheap, nil)
	phc, err := h.Hash(t.Context(), "secret")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("%q, %v", phc, err)
	}
	for passwd, want := range map[string]bool{"secret": true, "Secret": false, "": false} {
		if ok, outdated, err := h.Check(t.Context(), passwd, phc); ok != want || outdated || err != nil {
			t.Errorf("Check(%q) = %v, %v, %v", passwd, ok, outdated, err)
		}
	}
	if ok, _, err := h.Check(t.Context(), "secret", ""); ok || err != nil {
		t.Errorf("Check for an unknown login = %v, %v", ok, err)
	}
	other := password.NewHasher(password.Params{MemoryKiB: 128, Passes: 1}, nil)
	if ok, outdated, err := other.Check(t.Context(), "secret", phc); !ok || !outdated || err != nil {
		t.Errorf("Check of a hash with another cost = %v, %v, %v; want true, true, nil", ok, outdated, err)
	}
	for _, damaged := range []string{
		"x", "$argon2id$",
		"$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAA$AAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AAAA$", "$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA",
		"$argon2id$v=19$m=64,t=1,p=1x$AAAA$AAAA", "$argon2id$v=19$m=064,t=1,p=1$AAAA$AAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AAAA$AB",
	} {
		if _, _, err := h.Check(t.Context(), "secret", damaged); err == nil {
			t.Errorf("Check accepts the hash %q", damaged)
		}
	}
}

// TestPreparedPasswords checks that one password typed in two ways is one password (RFC 8265, 4.2), and that a hash of
// the bytes that were typed, which other software may have made, is accepted and outdated.
func TestPreparedPasswords(t *testing.T) {
	const composed, decomposed = "Zo\u00eb's 1 secret", "Zoe\u0308's\u00a01 secret"
	h := password.NewHasher(cheap, nil)
	for _, typed := range []string{composed, decomposed} {
		phc, err := h.Hash(t.Context(), typed)
		if err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{composed, decomposed} {
			if ok, outdated, err := h.Check(t.Context(), again, phc); !ok || outdated || err != nil {
				t.Errorf("Check(%q) of a hash of %q = %v, %v, %v", again, typed, ok, outdated, err)
			}
		}
	}
	raw, err := bcrypt.GenerateFromPassword([]byte(decomposed), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if ok, outdated, err := h.Check(t.Context(), decomposed, string(raw)); !ok || !outdated || err != nil {
		t.Errorf("Check of a hash of the raw bytes = %v, %v, %v", ok, outdated, err)
	}
	if _, err := h.Hash(t.Context(), "secret\x00"); !errors.Is(err, prepare.ErrPassword) {
		t.Errorf("Hash of a control character: %v", err)
	}
}

// TestTruncatedBcrypt checks that bytes which bcrypt did not compare never get into a new hash: Check accepts the
// password, but does not ask for a new hash.
func TestTruncatedBcrypt(t *testing.T) {
	h := password.NewHasher(cheap, nil)
	compared := strings.Repeat("Aa1#", 18) // 72 bytes
	hash, err := bcrypt.GenerateFromPassword([]byte(compared), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for passwd, wantOutdated := range map[string]bool{
		compared:                    true,
		compared + "anything":       false,
		compared + "\u00a0anything": false, // typed in another form than the prepared one
		compared + "\x01":           false, // without a prepared form
	} {
		ok, outdated, err := h.Check(t.Context(), passwd, string(hash))
		if !ok || outdated != wantOutdated || err != nil {
			t.Errorf("Check with %d bytes = %v, %v, %v; want true, %v", len(passwd), ok, outdated, err, wantOutdated)
		}
	}
}

// TestBcryptOfLongPreparedPassword has a password of 72 bytes whose prepared form is longer.
func TestBcryptOfLongPreparedPassword(t *testing.T) {
	h := password.NewHasher(cheap, nil)
	typed := strings.Repeat("\u0958", 24) // 72 bytes; NFC makes two characters of each
	hash, err := bcrypt.GenerateFromPassword([]byte(strings.Repeat("\u0915\u093c", 12)), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if ok, outdated, err := h.Check(t.Context(), typed, string(hash)); !ok || outdated || err != nil {
		t.Errorf("Check = %v, outdated %v, %v; want true, false", ok, outdated, err)
	}
}

// TestFlood starts many more hashes than may wait. Some must be rejected immediately, the others must succeed.
func TestFlood(t *testing.T) {
	h := password.NewHasher(password.Params{MemoryKiB: 8 * 1024, Passes: 1}, nil)
	var mu sync.Mutex // guards rejected and served
	rejected, served := 0, 0
	start := make(chan struct{})
	var group sync.WaitGroup
	for range 2000 {
		group.Go(func() {
			<-start
			_, err := h.Hash(context.Background(), "secret")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				served++
			case errors.Is(err, password.ErrBusy):
				rejected++
			default:
				t.Error(err)
			}
		})
	}
	close(start)
	group.Wait()
	if rejected == 0 || served == 0 {
		t.Errorf("%d rejected, %d served; want some of both", rejected, served)
	}
}

func TestRules(t *testing.T) {
	classes, long := password.Rules{}, password.Rules{LongInsteadOfClasses: true}
	for _, c := range []struct {
		rules  password.Rules
		passwd string
		ok     bool
	}{
		{classes, "Sup3r$ecret!", true},
		{classes, "Aa1$567", false},
		{classes, "Aa1$5678", true},
		{classes, "aa1$5678", false},
		{classes, "AA1$5678", false},
		{classes, "Aab$cdef", false},
		{classes, "Aa123456x", false},
		{classes, "P@SSW0RD", false},
		{classes, "p@ssw0rD", false},
		{classes, "Äöü1$xyzÄ", true},
		{classes, "Aa1$" + strings.Repeat("x", 10_000), true},
		{long, "fourteen chars", false},
		{long, "fifteen chars!!", true},
		{long, "correct horse battery staple", false},
	} {
		if err := c.rules.Check(c.passwd); (err == nil) != c.ok {
			t.Errorf("%+v.Check(%.20q) = %v, want success: %v", c.rules, c.passwd, err, c.ok)
		}
	}
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for _, length := range []int{8, 12, 128} {
		for range 100 {
			p := password.Generate(length)
			if len(p) != length || (password.Rules{}).Check(p) != nil || seen[p] {
				t.Fatalf("Generate(%d) = %q", length, p)
			}
			seen[p] = true
		}
	}
}
