package sqlite

import "sync"

// cache is a map with a lock.
type cache[K comparable, V any] struct {
	mu      sync.RWMutex // guards what follows
	rows    map[K]V
	changes uint64 // one more at each put and drop
}

// get returns the value of k, which load finds if it is not there yet.
func (t *cache[K, V]) get(k K, load func() (V, error)) (V, error) {
	t.mu.RLock()
	v, ok := t.rows[k]
	before := t.changes
	t.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes == before {
		t.set(k, v)
	}
	return v, nil
}

func (t *cache[K, V]) put(k K, v V) {
	t.mu.Lock()
	t.set(k, v)
	t.changes++
	t.mu.Unlock()
}

func (t *cache[K, V]) clear() {
	t.mu.Lock()
	clear(t.rows)
	t.changes++
	t.mu.Unlock()
}

func (t *cache[K, V]) set(k K, v V) {
	if t.rows == nil {
		t.rows = make(map[K]V)
	}
	t.rows[k] = v
}

func (t *cache[K, V]) drop(k K) {
	t.mu.Lock()
	delete(t.rows, k)
	t.changes++
	t.mu.Unlock()
}
