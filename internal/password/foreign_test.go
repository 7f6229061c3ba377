package password_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/password"
)

const secret = "Correct#Horse7"

// foreign are hashes that other software made, and their passwords.
var foreign = map[string]struct{ hash, passwd string }{
	"htpasswd -B":     {"$2y$05$PtVpblXDnnKwwI16gofjwOEZY5kTe88n3piz8.6.AZVoLWk2lZCfS", secret},
	"PHP 8.2":         {"$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW", secret},
	"Python's bcrypt": {"$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG", secret},
	"Python's bcrypt, of 76 bytes": {"$2b$04$Fn2z2ugj0grNlfwFJM/NT.cNnqsKThW.68dcRdAwC0akF6jhQh2Ci",
		strings.Repeat("Aa1#", 18) + "tail"},
	"passlib":          {"$scrypt$ln=10,r=8,p=1$q5XyHoMQIqTU+t+b8/7/nw$FBD2LZdLZ6xW/KhR97UdG0q9GUntkHhvdLJq2gLtStY", secret},
	"Python's hashlib": {"$scrypt$ln=11,r=8,p=2$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI", secret},
	"argon2-cffi":      {"$argon2id$v=19$m=1024,t=3,p=4$bedOyMIC0nn14ywWbyuxuw$HUb2xYlCtJ/FgAS4FrHIug", secret},
	"the argon2 command": {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo",
		secret},
	// The vectors of ASP.NET Core's own PasswordHasherTest.cs.
	"Identity, SHA-512, 128-bit subkey": {"AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw", "my password"},
	"Identity, SHA-512, 512-bit subkey": {"AQAAAAIAAAD6AAAAIJbVi5wbMR+htSfFp8fTw8N8GOS/Sje+S/4YZcgBfU7EQuqv4OkVYmc4VJl9AGZzmRTxSkP7LtVi9IWyUxX8IAAfZ8v+ZfhjCcudtC1YERSqE1OEdXLW9VukPuJWBBjLuw==", "my password"},
	"Identity, SHA-1":                   {"AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M", "my password"},
	"Identity, SHA-256, its default":    {"AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==", "my password"},
}

func TestForeignHashes(t *testing.T) {
	h := password.NewHasher(cheap, nil)
	for maker, c := range foreign {
		t.Run(maker, func(t *testing.T) {
			if err := password.CheckImported(c.hash); err != nil {
				t.Errorf("refused: %v", err)
			}
			for passwd, want := range map[string]bool{c.passwd: true, "x" + c.passwd: false, c.passwd[:8]: false, "": false} {
				if ok, outdated, err := h.Check(t.Context(), passwd, c.hash); ok != want || !outdated || err != nil {
					t.Errorf("Check(%q) = %v, outdated %v, %v", passwd, ok, outdated, err)
				}
			}
		})
	}
}

// TestForeignHashesRefused: what is damaged, unknown or too dear, and none of
// it is in the error.
func TestForeignHashesRefused(t *testing.T) {
	const dear, damaged, unknown = "costs too much", "", "none of the hashes"
	h := password.NewHasher(cheap, nil)
	for text, want := range map[string]string{
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo": damaged, // 4 TiB
		"$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo":     dear,
		"$argon2id$v=19$m=65536,t=17,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo":     dear,
		"$argon2id$v=19$m=64,t=1,p=17$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo":        dear,
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAA":                                                "too short",
		"$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo":          unknown,
		"$2b$15$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG":                                           dear,
		"$2b$31$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG":                                           dear,
		"$2b$32$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG":                                           damaged,
		"$2x$05$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG":                                           damaged,
		"$2b$05$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2y":                                            damaged,
		"$scrypt$ln=30,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":               dear,
		"$scrypt$ln=64,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":               dear,
		"$scrypt$ln=10,r=8,p=9999999$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":         dear,
		"$scrypt$ln=1,r=1048576,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":          dear, // 640 MiB
		"$scrypt$ln=1,r=1,p=1048576$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":          dear,
		"$scrypt$ln=0,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI":                damaged,
		"$scrypt$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf":                                                      damaged,
		"AQAAAAJ/////AAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw":                                           dear,     // 2^31-1 iterations
		"AQAAAAIAAAAAAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw":                                           dear,     // none
		"AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=":                                                           "subkey", // too short, of PasswordHasherTest.cs
		"AQAAAAMAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw":                                           "PRF",
		"AQAAAAIAAAAy/////+Mwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw":                                           "salt",
		"AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJg==":                                   unknown, // version 2
		"{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3ZTM5MDM5ZDk":                                                      unknown,
		secret: unknown, strings.Repeat("A", 600): unknown,
	} {
		err := password.CheckImported(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), text) {
			t.Errorf("CheckImported(%q): %v, want %q", text, err, want)
		}
		if strings.HasPrefix(text, "$argon2id$") {
			continue // Pawl's own may cost what its settings allow
		}
		if ok, _, err := h.Check(t.Context(), secret, text); ok || err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("Check of %q: %v, %v", text, ok, err)
		}
	}
	if err := password.CheckImported(""); err == nil {
		t.Error("an empty hash is imported")
	}
}

// BenchmarkDearest times the dearest hash of each kind that is taken.
func BenchmarkDearest(b *testing.B) {
	h := password.NewHasher(password.Params{}, nil)
	for name, text := range map[string]string{
		"argon2id": "$argon2id$v=19$m=262144,t=4,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo",
		"default":  "",
		"bcrypt":   "$2b$14$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG",
		"scrypt":   "$scrypt$ln=17,r=16,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI",
		"identity": "AQAAAAIAIAAAAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := h.Check(b.Context(), secret, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
