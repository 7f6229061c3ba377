package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"sync"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// links has the links that sign a person in without a password, once. They are in the memory of this process.
type links struct {
	mu    sync.Mutex         // guards users
	users map[[32]byte]int64 // by the hash of the link's code
}

// NewLink returns the path and query of a link that signs in as a user, once, from a browser on this machine. It is for
// a server on loopback, whose terminal shows the link.
func (c *Console) NewLink(userID int64) string {
	code := rand.Text()
	c.links.mu.Lock()
	defer c.links.mu.Unlock()
	if c.links.users == nil {
		c.links.users = map[[32]byte]int64{}
	}
	c.links.users[sha256.Sum256([]byte(code))] = userID
	return c.base + "/enter?code=" + code
}

// take removes the link with a code, and returns its user, or false if there is no such link.
func (l *links) take(code string) (int64, bool) {
	hash := sha256.Sum256([]byte(code))
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ok := l.users[hash]
	delete(l.users, hash)
	return id, ok
}

var errLink = fault.New(fault.InvalidSession, t("error.link"))

// enter signs in with a link of NewLink.
func (c *Console) enter(ctx context.Context, r *request) (response, error) {
	if !onLoopback(r.Request) {
		return response{}, errNoPage
	}
	id, ok := c.links.take(r.FormValue("code"))
	if !ok {
		return signInResponse(statusOf(errLink), signInForm{Error: errLink.Message}), nil
	}
	operator := authority.Caller{User: &authority.User{Level: authority.Root}, Address: origin(r.Request).IP}
	issued, err := c.authority.OpenSession(ctx, operator, authority.OpenRequest{UserID: id, From: origin(r.Request)})
	if err != nil {
		return response{}, err
	}
	return response{next: "/", cookie: c.setCookie(r.Request, issued)}, nil
}
