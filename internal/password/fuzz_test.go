package password

import (
	"strings"
	"testing"
)

// FuzzDecode reads any text as a hash: what is taken is the one way to write
// it, and its cost is within bounds; an error does not quote it.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=1x$AAAA$AAAA", "$argon2id$v=19$m=+64,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=064,t=1,p=1$AAAA$AAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAB\n", "$argon2id$v=19$m=64,t=1,p=1$AAAA$AB", "$argon2id$v=19$m=0,t=1,p=255$$AAAA",
		"$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA", "$argon2id$v=16$m=64,t=1,p=1$AAAA$AAAA", "", "$$$$$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, phc string) {
		params, salt, hash, err := decode(phc)
		if err != nil {
			if len(phc) > 20 && strings.Contains(err.Error(), phc) {
				t.Errorf("the error quotes the hash: %v", err)
			}
			return
		}
		if params.MemoryKiB > maxMemoryKiB || params.Passes == 0 || params.Passes > maxPasses || params.Lanes == 0 || len(hash) == 0 || len(hash) > 128 {
			t.Errorf("%q is out of bounds", phc)
		}
		if again := encode(params, salt, hash); again != phc {
			t.Errorf("takes %q, writes %q", phc, again)
		}
	})
}
