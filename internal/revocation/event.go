package revocation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The names of the events.
const (
	HelloEvent   = "hello"
	RevokedEvent = "revoked"
	BeatEvent    = "beat"
)

// EventID is the id of an event. The ids of an epoch count its revoked events: the id of a hello or a beat is that of
// the last revoked event before it.
type EventID struct {
	Epoch    string
	Sequence uint64
}

// String returns the id as it is on the wire.
func (id EventID) String() string { return id.Epoch + "-" + strconv.FormatUint(id.Sequence, 10) }

// ParseEventID parses an id. It accepts only the form of String.
func ParseEventID(text string) (id EventID, ok bool) {
	epoch, sequence, found := strings.Cut(text, "-")
	n, err := strconv.ParseUint(sequence, 10, 64)
	id = EventID{Epoch: epoch, Sequence: n}
	return id, found && err == nil && validEpoch(epoch) && id.String() == text
}

const maxEpochSize = 32

// validEpoch accepts 1 to 32 letters and digits.
func validEpoch(epoch string) bool {
	return epoch != "" && len(epoch) <= maxEpochSize && strings.IndexFunc(epoch, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// Hello begins an epoch. The follower of a feed must not rely on what it received in an earlier epoch.
type Hello struct {
	Epoch        string
	ServerTime   time.Time     // when the epoch began for this subscriber
	IssuedUntil  time.Time     // no token has a later iat; after ServerTime if the clock of the server was set back
	MaxTokenLife time.Duration // the longest time from the iat of a token to its exp
	Heartbeat    time.Duration // the time between two beats
}

// helloJSON is the data of a hello.
type helloJSON struct {
	Epoch        string `json:"epoch"`
	ServerTime   string `json:"serverTime"`
	IssuedUntil  string `json:"issuedUntil"`
	MaxTokenLife int64  `json:"maxTokenLife"` // milliseconds
	Heartbeat    int64  `json:"heartbeat"`    // milliseconds
}

// beatJSON is the data of a beat.
type beatJSON struct {
	ServerTime string `json:"serverTime"`
}

// timeForm is the form of a server time: RFC 3339 with milliseconds, in UTC.
const timeForm = "2006-01-02T15:04:05.000Z"

const (
	// MaxEventSize is the most bytes of a line of an event. A batch of more changes makes several events.
	MaxEventSize = 64 << 10
	// maxChanges is how many changes an event has at most.
	maxChanges = 1000
	// maxFrameSize is the most bytes of an event without its changes.
	maxFrameSize = 128
)

// AppendHello appends a hello as a server-sent event.
func AppendHello(b []byte, id EventID, h Hello) []byte {
	b = fmt.Appendf(beginEvent(b, id, HelloEvent),
		`{"epoch":%q,"serverTime":%q,"issuedUntil":%q,"maxTokenLife":%d,"heartbeat":%d}`,
		h.Epoch, h.ServerTime.UTC().Format(timeForm), h.IssuedUntil.UTC().Format(timeForm),
		h.MaxTokenLife.Milliseconds(), h.Heartbeat.Milliseconds())
	return append(b, "\n\n"...)
}

// AppendRevoked appends a revoked event.
func AppendRevoked(b []byte, id EventID, changes []Change) []byte {
	return append(AppendChanges(beginEvent(b, id, RevokedEvent), changes), "\n\n"...)
}

// AppendBeat appends a beat. Every change acknowledged before serverTime must be in an event before the beat.
func AppendBeat(b []byte, id EventID, serverTime time.Time) []byte {
	b = append(beginEvent(b, id, BeatEvent), `{"serverTime":"`...)
	return append(serverTime.UTC().AppendFormat(b, timeForm), "\"}\n\n"...)
}

// AppendComment appends a comment, which states why a feed ends.
func AppendComment(b []byte, text string) []byte {
	return append(append(append(b, ": "...), text...), "\n\n"...)
}

// beginEvent appends an event up to its data.
func beginEvent(b []byte, id EventID, name string) []byte {
	b = append(append(append(b, "id: "...), id.Epoch...), '-')
	b = append(strconv.AppendUint(b, id.Sequence, 10), "\nevent: "...)
	return append(append(b, name...), "\ndata: "...)
}

// Event is an event of a feed. Name decides which of the fields below it are set.
type Event struct {
	ID      string
	Name    string
	Hello   Hello
	Changes []Change  // of a revoked event
	Beat    time.Time // the server time of a beat
}

// Decoder reads the events of a stream. It holds one event in memory at a time, and reuses its changes.
type Decoder struct {
	lines   *bufio.Scanner
	changes []Change
	comment string
}

// NewDecoder returns a decoder for the stream of r.
func NewDecoder(r io.Reader) *Decoder {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), MaxEventSize)
	return &Decoder{lines: lines}
}

// Comment returns the text of the last comment. A server that ends a feed gives its reason in a comment.
func (d *Decoder) Comment() string { return d.comment }

// ErrMalformed means that a stream is not a feed of Pawl.
var ErrMalformed = errors.New("revocation: malformed event")

// Next returns the next event. Its Changes are valid until the next call. The error is io.EOF at the end of the stream,
// ErrMalformed, or an error of the reader. An event without its final empty line is dropped.
func (d *Decoder) Next() (Event, error) {
	var e Event
	var data []byte
	for d.lines.Scan() {
		line := d.lines.Bytes()
		if len(line) == 0 {
			if e.Name == "" && e.ID == "" && data == nil {
				continue // after a comment
			}
			return d.complete(e, data)
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "":
			d.comment = string(value[:min(len(value), 256)])
		case "id":
			e.ID = string(value)
		case "event":
			e.Name = string(value)
		case "data":
			if data != nil {
				return Event{}, ErrMalformed
			}
			data = append([]byte{}, value...)
		}
	}
	if err := d.lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = ErrMalformed
		}
		return Event{}, err
	}
	return Event{}, io.EOF
}

// complete decodes the data of an event.
func (d *Decoder) complete(e Event, data []byte) (Event, error) {
	var err error
	if _, ok := ParseEventID(e.ID); !ok {
		return Event{}, ErrMalformed
	}
	switch e.Name {
	case HelloEvent:
		e.Hello, err = parseHello(data)
	case RevokedEvent:
		e.Changes, err = ParseChanges(d.changes[:0], data)
		d.changes = e.Changes
	case BeatEvent:
		var beat beatJSON
		if err = json.Unmarshal(data, &beat); err == nil {
			e.Beat, err = parseTime(beat.ServerTime)
		}
	default:
		err = ErrMalformed
	}
	if err != nil {
		return Event{}, ErrMalformed
	}
	return e, nil
}

// maxLife is the longest duration that a hello may have.
const maxLife = 100 * 365 * 24 * time.Hour

func parseHello(data []byte) (Hello, error) {
	var h helloJSON
	if err := json.Unmarshal(data, &h); err != nil {
		return Hello{}, err
	}
	at, err := parseTime(h.ServerTime)
	if err != nil {
		return Hello{}, err
	}
	until, err := parseTime(h.IssuedUntil)
	valid := func(ms int64) bool { return ms > 0 && ms <= maxLife.Milliseconds() }
	if err != nil || !validEpoch(h.Epoch) || !valid(h.MaxTokenLife) || !valid(h.Heartbeat) {
		return Hello{}, ErrMalformed
	}
	return Hello{
		Epoch: h.Epoch, ServerTime: at, IssuedUntil: until,
		MaxTokenLife: time.Duration(h.MaxTokenLife) * time.Millisecond,
		Heartbeat:    time.Duration(h.Heartbeat) * time.Millisecond,
	}, nil
}

// parseTime parses a server time. Its year has four digits.
func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(timeForm, text)
	if err == nil && at.Format(timeForm) != text {
		err = ErrMalformed
	}
	return at, err
}
