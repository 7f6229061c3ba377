package batch

import "time"

// Observed returns commit, which then also tells how many ops each batch had and
// how long it took. A nil tell gives commit as it is.
func Observed[T any](commit func([]*Op[T]), tell func(size int, took time.Duration)) func([]*Op[T]) {
	if tell == nil {
		return commit
	}
	return func(ops []*Op[T]) {
		began := time.Now()
		commit(ops)
		tell(len(ops), time.Since(began))
	}
}
