package password

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// The dearest hashes of other software that are taken. Each bound is a second
// or two of one processor, and 256 MiB: no sign-in may take more.
const (
	maxForeignMiB  = 256
	maxArgonWork   = 1 << 20 // KiB times passes
	maxArgonLanes  = 16
	maxBcryptCost  = 14
	maxScryptWork  = 1 << 21 // N times r times p
	maxScryptWidth = 1 << 12 // r times p: PBKDF2 makes as many blocks of 128 bytes, whatever N is
	maxPBKDF2Work  = 2 << 20 // iterations times blocks of the PRF
	maxHashText    = 512     // bytes of any hash
	leastHash      = 16      // bytes: a shorter one is guessed without the password
	mostHash       = 128     // bytes
	mostSalt       = 128     // bytes
	bcryptTextSize = 60
)

var (
	errForeign    = errors.New("is none of the hashes that are known: argon2id and scrypt in PHC form, bcrypt ($2a$, $2b$, $2y$), ASP.NET Core Identity v3 in base64")
	errNoPassword = errors.New("is missing")
)

// hashed is a password's hash that was read and found to be within bounds.
type hashed interface {
	// is reports whether the hash is of this password, compared in constant time.
	is(password string) bool
}

// CheckImported returns nil if a hash that other software made can be taken as
// it is, else an error that says why not, in words that follow the field's
// name, and never has the hash in it.
func CheckImported(text string) error {
	if text == "" {
		return errNoPassword
	}
	stored, err := parse(text)
	if err != nil {
		return err
	}
	if own, ok := stored.(argonHash); ok {
		return own.checkImported()
	}
	return nil
}

// IsArgon2id reports whether a hash is of the kind that Pawl makes: one that
// was imported and is not of that kind was not replaced yet.
func IsArgon2id(text string) bool { return strings.HasPrefix(text, argonPrefix) }

// parse reads a hash of any kind.
func parse(text string) (hashed, error) {
	switch {
	case len(text) > maxHashText:
		return nil, errForeign
	case IsArgon2id(text):
		return parseArgon(text)
	case strings.HasPrefix(text, "$2"):
		return parseBcrypt(text)
	case strings.HasPrefix(text, "$scrypt$"):
		return parseScrypt(text)
	}
	return parseIdentity(text)
}

// checkImported holds a hash of other software to a closer bound than the
// settings of Pawl's own.
func (h argonHash) checkImported() error {
	p := h.params
	switch {
	case p.MemoryKiB > maxForeignMiB<<10 || uint64(p.MemoryKiB)*uint64(p.Passes) > maxArgonWork || p.Lanes > maxArgonLanes:
		return fmt.Errorf("costs too much: argon2id may have m up to %d, m times t up to %d, and p up to %d", maxForeignMiB<<10, maxArgonWork, maxArgonLanes)
	case len(h.hash) < leastHash || len(h.salt) > mostSalt:
		return errors.New("has a hash that is too short, or a salt that is too long")
	}
	return nil
}

// bcryptHash is bcrypt's text. It is of the first 72 bytes of a password, as in
// the software that made it; the argon2id that replaces it is of all of them.
type bcryptHash string

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)

func parseBcrypt(text string) (hashed, error) {
	if len(text) != bcryptTextSize || !bcryptForm.MatchString(text) {
		return nil, errors.New("is not a whole hash of bcrypt: $2a$, $2b$ or $2y$, the cost, and 53 characters")
	}
	if cost, _ := strconv.Atoi(text[4:6]); cost > maxBcryptCost {
		return nil, fmt.Errorf("costs too much: bcrypt may have a cost up to %d", maxBcryptCost)
	}
	return bcryptHash(text), nil
}

func (h bcryptHash) is(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

// scryptHash is the PHC form, which passlib writes too.
type scryptHash struct {
	ln, r, p   int // N is 2 to the power of ln
	salt, hash []byte
}

var scryptForm = regexp.MustCompile(`^\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,6}),p=([1-9][0-9]{0,6})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

func parseScrypt(text string) (hashed, error) {
	parts := scryptForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, errors.New("is not scrypt in PHC form: $scrypt$ln=,r=,p=$salt$hash")
	}
	var h scryptHash
	for i, into := range []*int{&h.ln, &h.r, &h.p} {
		*into, _ = strconv.Atoi(parts[i+1]) // at most seven digits
	}
	if nr := uint64(h.r) << h.ln; h.ln > 30 || nr > maxForeignMiB<<20/128 || nr*uint64(h.p) > maxScryptWork || h.r*h.p > maxScryptWidth {
		return nil, fmt.Errorf("costs too much: scrypt may have N times r up to %d, N times r times p up to %d, and r times p up to %d", maxForeignMiB<<20/128, maxScryptWork, maxScryptWidth)
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.hash) < leastHash || len(h.hash) > mostHash || len(h.salt) > mostSalt {
		return nil, errors.New("has a salt or a hash that is not base64 without padding, or is too short or too long")
	}
	return h, nil
}

func (h scryptHash) is(password string) bool {
	got, err := scrypt.Key([]byte(password), h.salt, 1<<h.ln, h.r, h.p, len(h.hash))
	return err == nil && subtle.ConstantTimeCompare(got, h.hash) == 1
}

// identityHash is version 3 of ASP.NET Core Identity, in base64: 0x01, then as
// 4 bytes each, the highest first, the PRF, the iterations and the salt's
// length, then salt and subkey (PasswordHasher.cs).
type identityHash struct {
	prf          func() hash.Hash
	iterations   int
	salt, subkey []byte
}

const identityHeader = 13 // bytes

func parseIdentity(text string) (hashed, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < identityHeader || raw[0] != 1 || strings.ContainsAny(text, "\r\n") {
		return nil, errForeign
	}
	prf, iterations, saltSize := binary.BigEndian.Uint32(raw[1:]), binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])
	rest := raw[identityHeader:]
	if saltSize < 16 || saltSize > mostSalt || int(saltSize) > len(rest) { // Identity itself wants 16 bytes
		return nil, errors.New("has a salt of a length that ASP.NET Core Identity does not make")
	}
	h := identityHash{iterations: int(iterations), salt: rest[:saltSize], subkey: rest[saltSize:]}
	switch prf {
	case 0:
		h.prf = sha1.New
	case 1:
		h.prf = sha256.New
	case 2:
		h.prf = sha512.New
	default:
		return nil, errors.New("names a PRF that ASP.NET Core Identity does not have")
	}
	if len(h.subkey) < leastHash || len(h.subkey) > mostHash {
		return nil, errors.New("has a subkey that is too short or too long")
	}
	size := h.prf().Size()
	if blocks := (len(h.subkey) + size - 1) / size; iterations == 0 || uint64(iterations)*uint64(blocks) > maxPBKDF2Work {
		return nil, fmt.Errorf("costs too much: PBKDF2 may have from 1 to %d iterations, for each block of the subkey", maxPBKDF2Work)
	}
	return h, nil
}

func (h identityHash) is(password string) bool {
	got, err := pbkdf2.Key(h.prf, password, h.salt, h.iterations, len(h.subkey))
	return err == nil && subtle.ConstantTimeCompare(got, h.subkey) == 1
}
