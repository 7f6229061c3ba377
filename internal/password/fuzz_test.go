package password

import (
	"encoding/base64"
	"strings"
	"testing"
)

var parseSeeds = []string{
	"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=64,t=1,p=1x$AAAA$AAAA",
	"$argon2id$v=19$m=+64,t=1,p=1$AAAA$AAAA",
	"$argon2id$v=19$m=064,t=1,p=1$AAAA$AAAA",
	"$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAB\n",
	"$argon2id$v=19$m=64,t=1,p=1$AAAA$AB",
	"$argon2id$v=19$m=0,t=1,p=255$$AAAA",
	"$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA",
	"$argon2id$v=16$m=64,t=1,p=1$AAAA$AAAA",
	"",
	"$$$$$",
	"$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG",
	"$2b$31$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG",
	"$scrypt$ln=10,r=8,p=1$q5XyHoMQIqTU+t+b8/7/nw$FBD2LZdLZ6xW/KhR97UdG0q9GUntkHhvdLJq2gLtStY",
	"$scrypt$ln=63,r=9999999,p=9999999$AAAA$AAAA",
	"AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
	"AQAAAAL/////AAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
	"AQAAAAIAAAAy/////+Mwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
	"AQ==",
}

// FuzzParse parses an arbitrary text as a hash. An accepted hash must be within the bounds, so that no sign-in is slow,
// and must have the canonical form. An error must not quote the text.
func FuzzParse(f *testing.F) {
	for _, seed := range parseSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stored, err := parse(text)
		imported := CheckImported(text)
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error()+imported.Error(), text) {
				t.Errorf("the error quotes the hash: %v", err)
			}
			return
		}
		switch h := stored.(type) {
		case argonHash:
			p := h.params
			if p.MemoryKiB > maxMemoryKiB || p.Passes == 0 || p.Passes > maxPasses || p.Lanes == 0 ||
				len(h.hash) == 0 || len(h.hash) > maxHash {
				t.Errorf("parse accepts %q, which is out of bounds", text)
			}
			if imported == nil && (p.MemoryKiB > 256<<10 || p.Lanes > 16 || len(h.hash) < 16) {
				t.Errorf("CheckImported accepts %q", text)
			}
			if again := encode(p, h.salt, h.hash); again != text {
				t.Errorf("accepts %q, but encodes %q", text, again)
			}
		case bcryptHash:
			if text[4:6] > "14" {
				t.Errorf("parse accepts %q, which is out of bounds", text)
			}
		case scryptHash:
			bytes := 128 * h.r << h.ln
			if bytes <= 0 || bytes > 256<<20 || len(h.hash) < 16 || h.p < 1 || h.p > maxScryptWork {
				t.Errorf("parse accepts %q, which is out of bounds", text)
			}
			if b64 := base64.RawStdEncoding.EncodeToString; !strings.HasSuffix(text, "$"+b64(h.salt)+"$"+b64(h.hash)) {
				t.Errorf("accepts %q, which is not canonical", text)
			}
		case identityHash:
			if h.iterations < 1 || h.iterations > maxPBKDF2Work || len(h.salt) < 16 ||
				len(h.subkey) < 16 || len(h.subkey) > maxHash {
				t.Errorf("parse accepts %q, which is out of bounds", text)
			}
		}
	})
}
