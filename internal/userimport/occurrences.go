package userimport

import (
	"fmt"
	"hash/maphash"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/prepare"
)

// occurrences finds users of a file that a store would reject because of an earlier line. It keeps hashes of 64 bits
// instead of texts. With ten million users, the probability of a false finding is below one in a hundred thousand.
type occurrences struct {
	seed   maphash.Seed
	values map[uint64]occurrence
}

// occurrence is the first line with a value that no two users may share.
type occurrence struct {
	line int64
	user uint64 // the hash of all fields
}

func newOccurrences() *occurrences {
	return &occurrences{seed: maphash.MakeSeed(), values: map[uint64]occurrence{}}
}

// add adds the user of a line. The error names the field of another user on an earlier line. The same user may occur
// again, as in a store.
func (o *occurrences) add(u authority.UserWithHash, line int64) error {
	user := maphash.Comparable(o.seed, u)
	unique := []struct{ field, value string }{{field: "login", value: prepare.LoginKey(u.Login)}}
	if u.ID != 0 {
		unique = append(unique, struct{ field, value string }{field: "userId", value: fmt.Sprint(u.ID)})
	}
	if u.ExternalID != "" {
		unique = append(unique, struct{ field, value string }{field: "externalId", value: u.ExternalID})
	}
	for _, f := range unique {
		earlier, ok := o.values[maphash.Comparable(o.seed, f)]
		if ok && earlier.user != user {
			return fmt.Errorf("%s is the same as in line %d, which has another user", f.field, earlier.line)
		}
	}
	for _, f := range unique {
		if key := maphash.Comparable(o.seed, f); o.values[key].line == 0 {
			o.values[key] = occurrence{line: line, user: user}
		}
	}
	return nil
}
