package batch

// Grow raises the limit of a batch as far as full and fast batches would.
func (g *Group[T]) Grow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = g.limit
}
