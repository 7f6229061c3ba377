// Package password hashes passwords with argon2id (RFC 9106). It checks passwords against those hashes and against
// imported hashes of other software, enforces the rules for new passwords, and generates random ones.
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

	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/tracing"
)

// ErrBusy means that too many hashes are running and waiting. The call had no effect.
var ErrBusy = errors.New("password: too many checks at once")

const (
	saltBytes  = 16
	hashBytes  = 32
	maxWaiting = 16 // callers that may wait for each running hash
)

// Params is the cost of argon2id. Zero fields take the default of OWASP's Password Storage Cheat Sheet: 19 MiB, 2
// passes, 1 lane.
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// WithDefaults returns p with its zero fields set to their defaults.
func (p Params) WithDefaults() Params {
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

// Hasher hashes and checks passwords. It runs at most one hash for each processor and limits the number of waiting
// callers. A flood of logins therefore gets ErrBusy instead of using up the memory.
type Hasher struct {
	params  Params
	admit   chan struct{} // has an element for each running or waiting caller
	running chan struct{} // has an element for each running caller
	decoy   string        // the hash that stands in for an unknown login's
	tracer  *tracing.Tracer
}

// NewHasher returns a hasher with the cost p. A span of the tracer, which may be nil, measures each hash and its wait.
func NewHasher(p Params, tracer *tracing.Tracer) *Hasher {
	n := min(runtime.GOMAXPROCS(0), runtime.NumCPU()) // GOMAXPROCS may be higher, so that a thread can wait for a disk
	h := &Hasher{
		params:  p.WithDefaults(),
		admit:   make(chan struct{}, n*(1+maxWaiting)),
		running: make(chan struct{}, n),
		tracer:  tracer,
	}
	h.decoy = encode(h.params, make([]byte, saltBytes), make([]byte, hashBytes))
	return h
}

// Hash returns the PHC string of a password, in the form of prepare.Password, with a new salt. The error is ErrBusy,
// prepare.ErrPassword, or the context's error.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	password, err := prepare.Password(password)
	if err != nil {
		return "", err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails (crypto/rand)
	return encode(h.params, salt, derive(password, salt, h.params, hashBytes)), nil
}

// Check reports whether stored is a hash of the password, and whether stored is outdated: its cost differs from that of
// new hashes, or other software made it (see CheckImported). An empty stored stands for an unknown login: Check takes
// the time of a new hash and returns false. The error is ErrBusy, the context's error, or the reason why stored is
// invalid.
//
// The password is compared in the form of prepare.Password. Other software may have hashed the bytes that the user
// typed, so a password that differs from its prepared form is compared as typed too, and its hash is then outdated.
// A bcrypt hash is never outdated for a password of which bcrypt compared only the beginning, because the new hash
// would then have bytes in it that nothing has checked.
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
	prepared, prepareErr := prepare.Password(password)
	if prepareErr == nil && want.matches(prepared) {
		return known, !h.makes(want) && !truncates(want, prepared), nil
	}
	if prepared == password {
		return false, !h.makes(want) && !truncates(want, password), nil
	}
	return want.matches(password) && known, prepareErr == nil && !truncates(want, password), nil
}

// makes reports whether a new hash would have the kind and the cost of want.
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

// Stats returns the numbers of running and waiting hashes.
func (h *Hasher) Stats() (running, waiting int) {
	running = len(h.running)
	return running, max(len(h.admit)-running, 0) // the two channels are not read atomically
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

// The largest cost that the settings allow. Hashes with a larger cost are rejected, so that a forged or damaged row
// cannot use up the memory.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
)

// argonHash is an argon2id hash in PHC form.
type argonHash struct {
	params     Params
	salt, hash []byte
}

func (h argonHash) matches(password string) bool {
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
	if err1 != nil || err2 != nil || len(h.hash) == 0 || len(h.hash) > maxHash {
		return nil, errPHC
	}
	if encode(*p, h.salt, h.hash) != phc { // Sscanf and base64 accept other spellings too
		return nil, errPHC
	}
	return h, nil
}
