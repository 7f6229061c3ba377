// Package password hashes passwords with argon2id (RFC 9106), checks them against
// that and against hashes of other software, checks what a new one must have,
// and makes random ones.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/pawlauth/pawl/internal/tracing"
)

// ErrBusy says that as many hashes run and wait as may; nothing was done.
var ErrBusy = errors.New("password: too many checks at once")

const (
	saltBytes = 16
	hashBytes = 32
	// waiting is how many callers may wait for each one that runs.
	waiting = 16
)

// Params is the cost of argon2id. Zero fields take the default of OWASP's
// Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

func (p Params) withDefaults() Params {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 19 * 1024
	}
	if p.Passes == 0 {
		p.Passes = 2
	}
	if p.Lanes == 0 {
		p.Lanes = 1
	}
	return p
}

// Hasher hashes and checks passwords. No more run at once than there are
// processors, and a bounded number waits: a flood of logins meets ErrBusy, and
// the memory stays.
type Hasher struct {
	params  Params
	admit   chan struct{} // holds one for each that runs or waits
	running chan struct{} // holds one for each that runs
	decoy   string        // what an unknown login is checked against
	tracer  *tracing.Tracer
}

// NewHasher returns a hasher with the cost p. A span of the tracer, which may be nil, measures each hash and its wait.
func NewHasher(p Params, tracer *tracing.Tracer) *Hasher {
	n := runtime.GOMAXPROCS(0)
	h := &Hasher{
		params:  p.withDefaults(),
		admit:   make(chan struct{}, n*(1+waiting)),
		running: make(chan struct{}, n),
		tracer:  tracer,
	}
	h.decoy = encode(h.params, make([]byte, saltBytes), make([]byte, hashBytes))
	return h
}

// Hash returns the PHC string of a password with a new salt. The error is
// ErrBusy, or the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails (crypto/rand)
	return encode(h.params, salt, derive(password, salt, h.params, hashBytes)), nil
}

// Check reports whether the password is the one that stored was made of, and
// whether stored is another hash than new ones get: of another cost, or of
// other software (see CheckImported). An empty stored stands for an
// unknown login: it takes the time of a new hash and is never right. The error is
// ErrBusy, the context's, or about a hash that cannot be read.
func (h *Hasher) Check(ctx context.Context, password, stored string) (ok, outdated bool, err error) {
	known := stored != ""
	if !known {
		stored = h.decoy
	}
	want, err := parse(stored)
	if err != nil {
		return false, false, fmt.Errorf("password: the stored hash %w", err)
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	return want.is(password) && known, !h.makes(want), nil
}

// makes reports whether want is a hash as new ones are.
func (h *Hasher) makes(want hashed) bool {
	own, ok := want.(argonHash)
	return ok && own.params == h.params && len(own.salt) == saltBytes && len(own.hash) == hashBytes
}

// enter waits for a processor and returns a function that frees it. The span of a hash includes the wait.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	ctx, end := h.tracer.Start(ctx, "password hash")
	select {
	case h.admit <- struct{}{}:
	default:
		end(ErrBusy)
		return nil, ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running; <-h.admit; end(nil) }, nil
	case <-ctx.Done():
		<-h.admit
		end(ctx.Err())
		return nil, ctx.Err()
	}
}

// Stats returns how many hashes run now, and how many wait.
func (h *Hasher) Stats() (running, waiting int) {
	running = len(h.running)
	return running, max(len(h.admit)-running, 0) // the two are not read in one step
}

func derive(password string, salt []byte, p Params, size uint32) []byte {
	return argon2.IDKey([]byte(password), salt, p.Passes, p.MemoryKiB, p.Lanes, size)
}

func encode(p Params, salt, hash []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.MemoryKiB, p.Passes, p.Lanes, b64(salt), b64(hash))
}

const argonPrefix = "$argon2id$"

var errPHC = errors.New("is not argon2id in PHC form: $argon2id$v=19$m=,t=,p=$salt$hash")

// The dearest cost that is read from a hash of Pawl's own, as settings may have
// it: a forged or damaged row cannot take all the memory.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
)

// argonHash is argon2id's PHC form.
type argonHash struct {
	params     Params
	salt, hash []byte
}

func (h argonHash) is(password string) bool {
	got := derive(password, h.salt, h.params, uint32(len(h.hash)))
	return subtle.ConstantTimeCompare(got, h.hash) == 1
}

func parseArgon(phc string) (hashed, error) {
	var h argonHash
	p := &h.params
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errPHC
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.MemoryKiB, &p.Passes, &p.Lanes); err != nil {
		return nil, errPHC
	}
	if p.MemoryKiB > maxMemoryKiB || p.Passes == 0 || p.Passes > maxPasses || p.Lanes == 0 {
		return nil, errPHC
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.hash) == 0 || len(h.hash) > mostHash {
		return nil, errPHC
	}
	if encode(*p, h.salt, h.hash) != phc { // Sscanf and base64 take more than one way to write it
		return nil, errPHC
	}
	return h, nil
}
