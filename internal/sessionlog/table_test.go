package sessionlog

import (
	"math/rand/v2"
	"testing"

	"github.com/pawlauth/pawl/internal/token"
)

// TestTable compares the table to a map over 100,000 random calls of put and remove.
func TestTable(t *testing.T) {
	var table table
	want := map[token.SessionID]uint32{}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range uint32(100_000) {
		id := token.SessionID{1 + byte(random.IntN(200)), byte(random.IntN(4))}
		if n/20_000%2 == 1 || random.IntN(3) == 0 {
			if _, had := want[id]; table.remove(&id) != had {
				t.Fatalf("remove %v: the map had it: %v", id, had)
			}
			delete(want, id)
			continue
		}
		if _, had := want[id]; table.put(&entry{id: id, generation: n + 1}) == had {
			t.Fatalf("put %v: the map had it: %v", id, had)
		}
		want[id] = n + 1
		if table.count != len(want) {
			t.Fatalf("count %d, want %d", table.count, len(want))
		}
	}
	for id, generation := range want {
		if e, ok := table.get(&id); !ok || e.generation != generation {
			t.Errorf("%v: generation %d, %v", id, e.generation, ok)
		}
	}
	for i := range 200 {
		id := token.SessionID{1 + byte(i), 9}
		if _, ok := table.get(&id); ok {
			t.Errorf("the table has %v", id)
		}
	}
}
