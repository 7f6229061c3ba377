package postgres

import "testing"

// TestHashID compares a hash with that of PostgreSQL.
func TestHashID(t *testing.T) {
	const want = -276850746 // SELECT uuid_hash('11111111-1111-1111-1111-111111111111')
	id := [16]byte{}
	for i := range id {
		id[i] = 0x11
	}
	if got := int32(hashID(id)); got != want {
		t.Errorf("the hash is %d, want %d", got, want)
	}
}
