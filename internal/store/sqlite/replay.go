package sqlite

import (
	"runtime"
	"sync"
)

// replayer brings the records of the step log into memory at a start, on all
// processors: nearly each record waits for a place that no cache has. The
// records of one session stay in order, as all of a shard go the same way.
type replayer struct {
	ways    []chan []entry
	buffers [][]entry
	running sync.WaitGroup
}

const replayBuffer = 1024

func newReplayer(m *memory) *replayer {
	n := runtime.GOMAXPROCS(0)
	r := &replayer{ways: make([]chan []entry, n), buffers: make([][]entry, n)}
	for i := range r.ways {
		r.ways[i] = make(chan []entry, 8)
		r.running.Go(func() {
			for entries := range r.ways[i] {
				m.follow(entries)
			}
		})
	}
	return r
}

func (r *replayer) add(e *entry) {
	way := int(e.id[0]) % len(r.ways)
	if r.buffers[way] == nil {
		r.buffers[way] = make([]entry, 0, replayBuffer)
	}
	r.buffers[way] = append(r.buffers[way], *e)
	if len(r.buffers[way]) == replayBuffer {
		r.ways[way] <- r.buffers[way]
		r.buffers[way] = nil
	}
}

// end returns when all is in memory.
func (r *replayer) end() {
	for i, way := range r.ways {
		way <- r.buffers[i]
		close(way)
	}
	r.running.Wait()
}

func (m *memory) follow(entries []entry) {
	for i := range entries {
		if e := &entries[i]; e.generation == 0 {
			m.drop(e.id)
		} else {
			m.put(e)
		}
	}
}
