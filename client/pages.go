package client

import "iter"

// allPages returns an iterator over the rows of a list, from a page to the last one. It fetches each page when the loop
// reaches it. A nil page is the first, and a nil size is the largest. The first error ends the iteration.
func allPages[T any](
	page, size *int64, fetch func(page, size *int64) ([]T, error),
) iter.Seq2[T, error] {
	if page == nil {
		page = new(int64(1))
	}
	if size == nil {
		size = new(int64(500))
	}
	return func(yield func(T, error) bool) {
		for n := *page; ; n++ {
			rows, err := fetch(new(n), size)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if int64(len(rows)) < *size {
				return
			}
		}
	}
}
