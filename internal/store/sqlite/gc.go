package sqlite

import (
	"os"
	"runtime/debug"
)

// grown is told how many sessions memory has now. By default the collector
// lets the heap grow by as much as is live, so that a session would cost twice
// its bytes. But entries have no pointers and are not read by a collection: it
// costs as much as without them. So the heap may grow by 64 MiB and a sixteenth
// of the entries. A GOGC in the environment takes precedence.
func (m *memory) grown(sessions int64) {
	const step, size, room = 1 << 16, 80, 64 << 20
	if sessions%step != 0 || os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(int(100 * (room + sessions*size/16) / (room + sessions*size)))
}
