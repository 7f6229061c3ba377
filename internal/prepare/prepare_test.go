package prepare_test

import (
	"strings"
	"testing"

	"golang.org/x/text/secure/precis"

	"github.com/pawlauth/pawl/internal/prepare"
)

// TestOneLogin has pairs that a person takes for one login.
func TestOneLogin(t *testing.T) {
	for name, pair := range map[string][2]string{
		"case":               {"Ada@Example.COM", "ada@example.com"},
		"white space":        {" ada@example.com\t\u2003", "ada@example.com"},
		"spaces inside":      {"ada  lovelace", "ada lovelace"},
		"final sigma":        {"ΟΔΥΣΣΕΥΣ", "οδυσσευς"},
		"sigma in lower":     {"οδυσσευσ", "οδυσσευς"},
		"width":              {"ａｄａ@example.com", "ada@example.com"},
		"half width":         {"ｱﾀﾞ", "アダ"},
		"composed":           {"zoe\u0308", "zo\u00eb"},
		"composed and upper": {"ZOE\u0308", "zo\u00eb"},
	} {
		first, err := prepare.Login(pair[0])
		second, err2 := prepare.Login(pair[1])
		if err != nil || err2 != nil || first != second {
			t.Errorf("%s: %q (%v) and %q (%v) differ", name, first, err, second, err2)
		}
	}
}

func TestOtherLogins(t *testing.T) {
	for name, pair := range map[string][2]string{
		"another letter": {"ada", "adb"},
		"accent":         {"zoe", "zoë"},
		"a space":        {"ada lovelace", "adalovelace"},
	} {
		first, err := prepare.Login(pair[0])
		second, err2 := prepare.Login(pair[1])
		if err != nil || err2 != nil || first == second {
			t.Errorf("%s: %q (%v) and %q (%v) are the same", name, first, err, second, err2)
		}
	}
	for name, login := range map[string]string{
		"empty": "", "white space": " \t", "a control character": "ada\x00", "a line break": "ada\nb\u0085",
		"not UTF-8": "ada\xff", "a zero-width space": "ada\u200b", "an unassigned code point": "ada\U000e0fff",
		"a ligature": "ﬁne", "mixed directions": "אa1א",
	} {
		if got, err := prepare.Login(login); err == nil && got != "ada b" {
			t.Errorf("%s: %q is accepted as %q", name, login, got)
		}
	}
}

func TestPassword(t *testing.T) {
	for name, pair := range map[string][2]string{
		"ASCII stays":     {"Sup3r $ecret!", "Sup3r $ecret!"},
		"case stays":      {"ÄÖÜäöü", "ÄÖÜäöü"},
		"composed":        {"Zoe\u0308", "Zo\u00eb"},
		"other spaces":    {"a\u00a0b\u3000c", "a b c"},
		"white space":     {" a ", " a "},
		"width stays":     {"ａ", "ａ"},
		"emoji permitted": {"🔑 secret", "🔑 secret"},
	} {
		if got, err := prepare.Password(pair[0]); err != nil || got != pair[1] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, password := range map[string]string{
		"empty": "", "a control character": "a\x00b", "not UTF-8": "a\xffb", "unassigned": "a\U000e0fff",
	} {
		if got, err := prepare.Password(password); err == nil {
			t.Errorf("%s: accepted as %q", name, got)
		}
	}
}

// FuzzLogin checks that the prepared form is a fixed point, and that the short way for ASCII agrees with the profile.
func FuzzLogin(f *testing.F) {
	for _, seed := range []string{"Ada@Example.com", "ΟΔΥΣΣΕΥΣ", "ｱﾀﾞ", "zoe\u0308", " a b ", "ﬁ", "İ", "\u0345"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, login string) {
		prepared, err := prepare.Login(login)
		if err != nil {
			return
		}
		if again, err := prepare.Login(prepared); err != nil || again != prepared {
			t.Errorf("%q is prepared as %q, and that as %q, %v", login, prepared, again, err)
		}
		trimmed := len(login) == len(strings.TrimSpace(login)) && !strings.Contains(login, " ")
		if trimmed && login == strings.ToValidUTF8(login, "") {
			want, err := precis.UsernameCaseMapped.String(login)
			if err == nil && strings.ReplaceAll(want, "ς", "σ") != prepared {
				t.Errorf("%q is prepared as %q, the profile has %q", login, prepared, want)
			}
		}
	})
}

// FuzzPassword checks that the prepared form is a fixed point.
func FuzzPassword(f *testing.F) {
	for _, seed := range []string{"Sup3r$ecret!", "a\u00a0b", "Zoe\u0308", "ａ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, password string) {
		prepared, err := prepare.Password(password)
		if err != nil {
			return
		}
		if again, err := prepare.Password(prepared); err != nil || again != prepared {
			t.Errorf("%q is prepared as %q, and that as %q, %v", password, prepared, again, err)
		}
	})
}
