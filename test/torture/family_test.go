package torture_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

// family is the admin of a network and a user of the network, the victim. The admin changes the victim. The Root takes
// the right to do so from the admin again and again, and gives it back.
type family struct {
	admin, victim           int64
	adminLogin, victimLogin string
	network                 int64 // their network at the beginning; network+1 has no users
	quiet                   bool  // whether nothing ends the sessions of the victim, so that thefts happen

	mu        sync.Mutex // guards the fields below
	passwords []string   // of the victim; the current one is last
	keys      []apiKey   // of the admin; the current one is last
	counter   int64      // makes values unique
}

// startMailbox is the mailbox of all members at the beginning.
const startMailbox = 1

// newFamily creates the users of a family.
func newFamily(t *testing.T, admin *client.Client, name string, network int64, quiet bool) *family {
	t.Helper()
	f := &family{
		adminLogin: name + "-admin@example.com", victimLogin: name + "@example.com", network: network, quiet: quiet,
		passwords: []string{password},
	}
	create := func(login string, level api.Level) int64 {
		t.Helper()
		user, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
			Login: login, Email: login, Password: password, AuthLevel: level,
			NetworkID: &network, MailboxID: new(int64(startMailbox)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return user.UserID
	}
	f.admin = create(f.adminLogin, api.LevelNetworkAdmin)
	f.victim = create(f.victimLogin, api.LevelMailboxUser)
	return f
}

// next returns a number that no earlier call returned.
func (f *family) next() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counter++
	return f.counter
}

// recent returns the last element, or now and then one of the two before.
func recent[T any](random *rand.Rand, all []T) (element T) {
	if len(all) == 0 {
		return element
	}
	n := len(all) - 1
	if random.IntN(8) == 0 {
		n -= random.IntN(min(3, len(all)))
	}
	return all[n]
}

// anyPassword returns the password of a member, or now and then a former one.
func (f *family) anyPassword(user int64, random *rand.Rand) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if user == f.admin {
		return password
	}
	return recent(random, f.passwords)
}

// anyKey returns the API key of the admin, or now and then a removed one. It returns the zero value if there is none.
func (f *family) anyKey(random *rand.Rand) apiKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	return recent(random, f.keys)
}

func (f *family) addPassword(password string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passwords = append(f.passwords, password)
}

func (f *family) addKey(key apiKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, key)
}

// administer makes a call of the admin with the session or an API key.
func (w *worker) administer(s *session, hangUp bool) {
	f := s.family
	r := request{user: f.victim, byAdmin: true, hangUp: hangUp}
	switch n := w.random.IntN(10); {
	case n < 6:
		r.kind, r.value = setMailbox, fmt.Sprint(1000+f.next())
	case n < 8 || f.quiet:
		r.kind, r.value = setPassword, fmt.Sprint(password, f.next())
	case n < 9:
		r.kind, r.value = setStatus, string(api.StatusActive)
	default:
		r.kind, r.value = setStatus, string(api.StatusSuspended)
	}
	if key := f.anyKey(w.random); key.id != 0 && w.random.IntN(2) == 0 {
		r.apiKey = key
		if w.random.IntN(4) == 0 {
			r = request{kind: useKey, user: f.admin, apiKey: key}
		}
	} else {
		r.with = s.now()
	}
	got, _ := w.do(r)
	s.note(r.with, got.answer)
	got.settle(4 * maxLife)
	if r.kind == setPassword && got.answer == done {
		f.addPassword(r.value)
	}
}

// A disturbance lasts for up to maxDisturbance. The next one begins up to maxQuiet later.
const (
	maxDisturbance = 40 * time.Millisecond
	maxQuiet       = 150 * time.Millisecond
)

// disturb makes calls of the Root until stop is closed. Each takes a right from a member of the family, or moves the
// victim away from the admin, and is soon undone.
func (w *worker) disturb(f *family, stop <-chan struct{}) {
	wait := func(most time.Duration) { time.Sleep(time.Duration(w.random.Int64N(int64(most)))) }
	for !closed(stop) {
		kinds := 5
		if f.quiet {
			kinds--
		}
		switch w.random.IntN(kinds) {
		case 0:
			w.change(f.admin, setLevel, string(api.LevelGeneral))
			wait(maxDisturbance)
			w.change(f.admin, setLevel, string(api.LevelNetworkAdmin))
		case 1:
			w.change(f.admin, setNetwork, fmt.Sprint(f.network+1))
			wait(maxDisturbance)
			w.change(f.admin, setNetwork, fmt.Sprint(f.network))
		case 2:
			w.change(f.victim, setNetwork, fmt.Sprint(f.network+1))
			wait(maxDisturbance)
			w.change(f.victim, setNetwork, fmt.Sprint(f.network))
		case 3:
			w.replaceKey(f)
		case 4:
			member := []int64{f.admin, f.victim}[w.random.IntN(2)]
			w.change(member, setStatus, string(api.StatusSuspended))
			wait(maxDisturbance)
			w.change(member, setStatus, string(api.StatusActive))
		}
		wait(maxQuiet)
	}
}

// change changes a user as the Root.
func (w *worker) change(user int64, k kind, value string) {
	w.insist(request{kind: k, user: user, value: value})
}

// replaceKey removes the API key of the admin, if there is one, and creates another.
func (w *worker) replaceKey(f *family) {
	if key := f.anyKey(w.random); key.id != 0 {
		w.insist(request{kind: removeKey, user: f.admin, apiKey: key})
	}
	if got, _ := w.insist(request{kind: newKey, user: f.admin}); got.answer == done {
		f.addKey(got.made)
	}
}

// number returns the number in a value of a call.
func number(value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		panic(err) // only called for networks and mailboxes
	}
	return n
}
