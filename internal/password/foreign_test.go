package password_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/password"
)

const secret = "Correct#Horse7"

// foreign has hashes that other software made, and their passwords.
var foreign = []struct{ maker, hash, passwd string }{
	{
		maker:  "htpasswd -B",
		hash:   "$2y$05$PtVpblXDnnKwwI16gofjwOEZY5kTe88n3piz8.6.AZVoLWk2lZCfS",
		passwd: secret,
	},
	{
		maker:  "PHP 8.2",
		hash:   "$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW",
		passwd: secret,
	},
	{
		maker:  "Python's bcrypt",
		hash:   "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG",
		passwd: secret,
	},
	{
		maker:  "Python's bcrypt, 76 bytes",
		hash:   "$2b$04$Fn2z2ugj0grNlfwFJM/NT.cNnqsKThW.68dcRdAwC0akF6jhQh2Ci",
		passwd: strings.Repeat("Aa1#", 18) + "tail",
	},
	{
		maker:  "passlib",
		hash:   "$scrypt$ln=10,r=8,p=1$q5XyHoMQIqTU+t+b8/7/nw$FBD2LZdLZ6xW/KhR97UdG0q9GUntkHhvdLJq2gLtStY",
		passwd: secret,
	},
	{
		maker:  "Python's hashlib",
		hash:   "$scrypt$ln=11,r=8,p=2$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI",
		passwd: secret,
	},
	{
		maker:  "argon2-cffi",
		hash:   "$argon2id$v=19$m=1024,t=3,p=4$bedOyMIC0nn14ywWbyuxuw$HUb2xYlCtJ/FgAS4FrHIug",
		passwd: secret,
	},
	{
		maker:  "the argon2 command",
		hash:   "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo",
		passwd: secret,
	},
	// The next four are the vectors of ASP.NET Core's PasswordHasherTest.cs.
	{
		maker:  "Identity, SHA-512, 128-bit subkey",
		hash:   "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
		passwd: "my password",
	},
	{
		maker: "Identity, SHA-512, 512-bit subkey",
		hash: "AQAAAAIAAAD6AAAAIJbVi5wbMR+htSfFp8fTw8N8GOS/Sje+S/4YZcgBfU7EQuqv4OkVYmc4VJl9AGZzmRTxSkP7L" +
			"tVi9IWyUxX8IAAfZ8v+ZfhjCcudtC1YERSqE1OEdXLW9VukPuJWBBjLuw==",
		passwd: "my password",
	},
	{
		maker:  "Identity, SHA-1",
		hash:   "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M",
		passwd: "my password",
	},
	{
		maker:  "Identity, SHA-256, its default",
		hash:   "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==",
		passwd: "my password",
	},
}

func TestForeignHashes(t *testing.T) {
	h := password.NewHasher(cheap, nil)
	for _, c := range foreign {
		t.Run(c.maker, func(t *testing.T) {
			if err := password.CheckImported(c.hash); err != nil {
				t.Errorf("CheckImported rejects the hash: %v", err)
			}
			right := map[string]bool{c.passwd: true, "x" + c.passwd: false, c.passwd[:8]: false, "": false}
			for passwd, want := range right {
				truncated := strings.HasPrefix(c.hash, "$2") && len(passwd) > 72 // see TestTruncatedBcrypt
				ok, outdated, err := h.Check(t.Context(), passwd, c.hash)
				if ok != want || outdated == truncated || err != nil {
					t.Errorf("Check(%q) = %v, outdated %v, %v", passwd, ok, outdated, err)
				}
			}
		})
	}
}

// TestForeignHashesRejected rejects hashes that are damaged, unknown or too expensive. No error may contain the hash.
func TestForeignHashesRejected(t *testing.T) {
	const (
		expensive = "costs too much"
		damaged   = ""
		unknown   = "unknown form"

		argonEnd  = "$c29tZXNhbHRzb21lc2FsdA$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo"
		bcryptEnd = "o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG"
		scryptEnd = "$AAECAwQFBgcICQoLDA0ODw$W/Tf4LL+a6G4dRpxzbvasnhWMu96BsAFv3DK7bBAFhI"
	)
	h := password.NewHasher(cheap, nil)
	for _, c := range []struct{ text, want string }{
		{"$argon2id$v=19$m=4294967295,t=1,p=1" + argonEnd, damaged}, // 4 TiB
		{"$argon2id$v=19$m=262145,t=1,p=1" + argonEnd, expensive},
		{"$argon2id$v=19$m=65536,t=17,p=1" + argonEnd, expensive},
		{"$argon2id$v=19$m=64,t=1,p=17" + argonEnd, expensive},
		{"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAA", "too short"},
		{"$argon2i$v=19$m=64,t=1,p=1" + argonEnd, unknown},
		{"$2b$15$" + bcryptEnd, expensive},
		{"$2b$31$" + bcryptEnd, expensive},
		{"$2b$32$" + bcryptEnd, damaged},
		{"$2x$05$" + bcryptEnd, damaged},
		{"$2b$05$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2y", damaged},
		{"$scrypt$ln=30,r=8,p=1" + scryptEnd, expensive},
		{"$scrypt$ln=64,r=8,p=1" + scryptEnd, expensive},
		{"$scrypt$ln=10,r=8,p=9999999" + scryptEnd, expensive},
		{"$scrypt$ln=1,r=1048576,p=1" + scryptEnd, expensive}, // 640 MiB
		{"$scrypt$ln=1,r=1,p=1048576" + scryptEnd, expensive},
		{"$scrypt$ln=0,r=8,p=1" + scryptEnd, damaged},
		{"$scrypt$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$W/Tf", damaged},
		{"AQAAAAJ/////AAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw", expensive}, // 2^31-1 iterations
		{"AQAAAAIAAAAAAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw", expensive}, // no iterations
		{"AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=", "subkey"},                  // too short
		{"AQAAAAMAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw", "PRF"},
		{"AQAAAAIAAAAy/////+Mwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw", "salt"},
		{"AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJg==", unknown}, // version 2
		{"{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3ZTM5MDM5ZDk", unknown},
		{secret, unknown},
		{strings.Repeat("A", 600), unknown},
	} {
		err := password.CheckImported(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.text) {
			t.Errorf("CheckImported(%q): %v, want %q", c.text, err, c.want)
		}
		if strings.HasPrefix(c.text, "$argon2id$") {
			continue // the settings of Pawl's own hashes allow this cost
		}
		ok, _, err := h.Check(t.Context(), secret, c.text)
		if ok || err == nil || strings.Contains(err.Error(), c.text) {
			t.Errorf("Check(%q) = %v, %v; want an error", c.text, ok, err)
		}
	}
	if err := password.CheckImported(""); err == nil {
		t.Error("CheckImported accepts an empty hash")
	}
}

// BenchmarkMostExpensive measures the most expensive hash of each kind that can be imported.
func BenchmarkMostExpensive(b *testing.B) {
	h := password.NewHasher(password.Params{}, nil)
	for name, text := range map[string]string{
		"argon2id": "$argon2id$v=19$m=262144,t=4,p=1$c29tZXNhbHRzb21lc2FsdA" +
			"$MNwI9IP6KA+9s6xNuZpE0HoVWRDnrcJSYexFyYq8RDo",
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
