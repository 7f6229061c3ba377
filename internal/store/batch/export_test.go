package batch

// Waiting returns how many operations wait.
func (g *Group[T]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.Len()
}

// Committing returns the weight of the operations in commits.
func (g *Group[T]) Committing() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken
}

// Grow raises the limit of a batch as far as full and fast batches would.
func (g *Group[T]) Grow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = g.limit
}
