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

// The bounds of imported hashes. Each bound stands for one or two seconds of one processor and 256 MiB, so that no
// sign-in costs more.
const (
	maxForeignMiB  = 256
	maxArgonWork   = 1 << 20 // KiB times passes
	maxArgonLanes  = 16
	maxBcryptCost  = 14
	maxScryptWork  = 1 << 21 // N times r times p
	maxScryptWidth = 1 << 12 // r times p: PBKDF2 makes that many blocks of 128 bytes for any N
	maxPBKDF2Work  = 2 << 20 // iterations times blocks of the PRF
	maxHashText    = 512     // bytes of the text
	minHash        = 16      // bytes; another password could match a shorter hash by chance
	maxHash        = 128     // bytes
	maxSalt        = 128     // bytes
	bcryptTextSize = 60
	bcryptMaxBytes = 72
)

var (
	errForeign = errors.New("has an unknown form; use argon2id or scrypt in PHC form, bcrypt ($2a$, $2b$, $2y$), " +
		"or ASP.NET Core Identity v3 in base64")
	errNoPassword = errors.New("is missing")
)

// hashed is a parsed password hash whose cost is within the bounds.
type hashed interface {
	// matches reports, in constant time, whether the hash belongs to this password.
	matches(password string) bool
}

// CheckImported returns nil if Pawl can import this hash of other software. Otherwise the error states why, worded to
// follow a field's name ("has ..."). The error never contains the hash.
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

// IsArgon2id reports whether a hash has the kind that Pawl makes. An imported hash of another kind is still in use
// until its user signs in.
func IsArgon2id(text string) bool { return strings.HasPrefix(text, argonPrefix) }

// parse parses a hash of any kind.
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

// checkImported limits the cost of an imported hash more strictly than the settings limit Pawl's own hashes.
func (h argonHash) checkImported() error {
	p := h.params
	switch {
	case p.MemoryKiB > maxForeignMiB<<10, uint64(p.MemoryKiB)*uint64(p.Passes) > maxArgonWork, p.Lanes > maxArgonLanes:
		const text = "costs too much: argon2id may have m up to %d, m times t up to %d, and p up to %d"
		return fmt.Errorf(text, maxForeignMiB<<10, maxArgonWork, maxArgonLanes)
	case len(h.hash) < minHash || len(h.salt) > maxSalt:
		return errors.New("has a hash that is too short, or a salt that is too long")
	}
	return nil
}

// bcryptHash is the text of a bcrypt hash. bcrypt uses only the first bcryptMaxBytes of a password.
type bcryptHash string

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)

func parseBcrypt(text string) (hashed, error) {
	if len(text) != bcryptTextSize || !bcryptForm.MatchString(text) {
		return nil, errors.New("is not a complete bcrypt hash: $2a$, $2b$ or $2y$, the cost, and 53 characters")
	}
	if cost, _ := strconv.Atoi(text[4:6]); cost > maxBcryptCost {
		return nil, fmt.Errorf("costs too much: bcrypt may have a cost up to %d", maxBcryptCost)
	}
	return bcryptHash(text), nil
}

// truncates reports whether the hash depends only on the beginning of the password.
func truncates(h hashed, password string) bool {
	_, ok := h.(bcryptHash)
	return ok && len(password) > bcryptMaxBytes
}

func (h bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

// scryptHash is a scrypt hash in PHC form, which passlib writes too.
type scryptHash struct {
	ln, r, p   int // N is 2^ln
	salt, hash []byte
}

var scryptForm = regexp.MustCompile(`^\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,6}),p=([1-9][0-9]{0,6})` +
	`\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

func parseScrypt(text string) (hashed, error) {
	parts := scryptForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, errors.New("is not scrypt in PHC form: $scrypt$ln=,r=,p=$salt$hash")
	}
	var h scryptHash
	for i, into := range []*int{&h.ln, &h.r, &h.p} {
		*into, _ = strconv.Atoi(parts[i+1]) // at most seven digits
	}
	const maxNR = maxForeignMiB << 20 / 128
	nr := uint64(h.r) << h.ln
	if h.ln > 30 || nr > maxNR || nr*uint64(h.p) > maxScryptWork || h.r*h.p > maxScryptWidth {
		const text = "costs too much: scrypt may have N*r up to %d, N*r*p up to %d, and r*p up to %d"
		return nil, fmt.Errorf(text, maxNR, maxScryptWork, maxScryptWidth)
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil {
		return nil, errors.New("has a salt or a hash that is not base64 without padding")
	}
	if len(h.hash) < minHash || len(h.hash) > maxHash || len(h.salt) > maxSalt {
		return nil, errors.New("has a salt or a hash that is too short or too long")
	}
	return h, nil
}

func (h scryptHash) matches(password string) bool {
	got, err := scrypt.Key([]byte(password), h.salt, 1<<h.ln, h.r, h.p, len(h.hash))
	return err == nil && subtle.ConstantTimeCompare(got, h.hash) == 1
}

// identityHash is a hash of version 3 of ASP.NET Core Identity (PasswordHasher.cs). Its text is the base64 of 0x01, the
// PRF, the iterations, the length of the salt (4 bytes each, big-endian), the salt, and the subkey.
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
	prf := binary.BigEndian.Uint32(raw[1:])
	iterations := binary.BigEndian.Uint32(raw[5:])
	saltSize := binary.BigEndian.Uint32(raw[9:])
	rest := raw[identityHeader:]
	if saltSize < 16 || saltSize > maxSalt || int(saltSize) > len(rest) { // Identity itself requires 16 bytes
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
	if len(h.subkey) < minHash || len(h.subkey) > maxHash {
		return nil, errors.New("has a subkey that is too short or too long")
	}
	size := h.prf().Size()
	blocks := (len(h.subkey) + size - 1) / size
	if iterations == 0 || uint64(iterations)*uint64(blocks) > maxPBKDF2Work {
		const text = "costs too much: PBKDF2 may have 1 iteration or more, and iterations times blocks up to %d"
		return nil, fmt.Errorf(text, maxPBKDF2Work)
	}
	return h, nil
}

func (h identityHash) matches(password string) bool {
	got, err := pbkdf2.Key(h.prf, password, h.salt, h.iterations, len(h.subkey))
	return err == nil && subtle.ConstantTimeCompare(got, h.subkey) == 1
}
