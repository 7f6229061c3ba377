package revocation_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

var (
	session = token.SessionID{1, 2, 3, 255}
	at      = time.Date(2026, 11, 28, 17, 30, 0, 7_000_000, time.UTC)
	life    = revocation.Hello{
		Epoch: "E1", ServerTime: at, IssuedUntil: time.Date(2026, 11, 28, 17, 31, 0, 0, time.UTC),
		MaxTokenLife: time.Hour, Heartbeat: 200 * time.Millisecond,
	}
)

// changes has a change of each kind, with the lowest and the highest numbers.
var changes = []revocation.Change{
	revocation.SessionRotated(session, 1<<32-1), revocation.SessionEnded(session),
	revocation.UserChanged(1, 0), revocation.UserChanged(1<<63-1, 1<<63-1),
}

func decodeAll(t testing.TB, stream string) (events []revocation.Event, err error) {
	t.Helper()
	d := revocation.NewDecoder(strings.NewReader(stream))
	for {
		e, err := d.Next()
		if err != nil {
			return events, err
		}
		e.Changes = append([]revocation.Change(nil), e.Changes...)
		events = append(events, e)
	}
}

func TestWireForm(t *testing.T) {
	id := revocation.EventID{Epoch: "E1", Sequence: 4}
	var stream []byte
	stream = revocation.AppendHello(stream, id, life)
	stream = revocation.AppendComment(stream, "why")
	id.Sequence++
	stream = revocation.AppendRevoked(stream, id, changes)
	stream = revocation.AppendBeat(stream, id, at)
	const want = `id: E1-4
event: hello
data: {"epoch":"E1","serverTime":"2026-11-28T17:30:00.007Z","issuedUntil":"2026-11-28T17:31:00.000Z","maxTokenLife":3600000,"heartbeat":200}

: why

id: E1-5
event: revoked
data: [["AQID_wAAAAAAAAAAAAAAAA",4294967295],["AQID_wAAAAAAAAAAAAAAAA",0],[1,0],[9223372036854775807,9223372036854775807]]

id: E1-5
event: beat
data: {"serverTime":"2026-11-28T17:30:00.007Z"}

`
	if string(stream) != want {
		t.Errorf("encoded %s\nwant %s", stream, want)
	}
	events, err := decodeAll(t, want)
	wantEvents := []revocation.Event{
		{ID: "E1-4", Name: revocation.HelloEvent, Hello: life},
		{ID: "E1-5", Name: revocation.RevokedEvent, Changes: changes},
		{ID: "E1-5", Name: revocation.BeatEvent, Beat: at},
	}
	if err != io.EOF || !reflect.DeepEqual(events, wantEvents) {
		t.Errorf("decoded %+v, %v\nwant %+v", events, err, wantEvents)
	}
}

// TestMalformed checks that a follower of a feed rejects every other form.
func TestMalformed(t *testing.T) {
	hello, _, _ := strings.Cut(string(revocation.AppendHello(nil, revocation.EventID{Epoch: "E"}, life)), "\n\n")
	streams := map[string]string{
		"no id":            "event: revoked\ndata: []\n\n",
		"id of spaces":     "id: E -1\nevent: revoked\ndata: []\n\n",
		"id with a zero":   "id: E-01\nevent: revoked\ndata: []\n\n",
		"unknown event":    "id: E-1\nevent: ended\ndata: []\n\n",
		"two data lines":   "id: E-1\nevent: revoked\ndata: []\ndata: []\n\n",
		"no heartbeat":     strings.Replace(hello, ":200}", ":0}", 1) + "\n\n",
		"endless life":     strings.Replace(hello, "3600000", "9223372036854775807", 1) + "\n\n",
		"another time":     strings.Replace(hello, ".007Z", "Z", 1) + "\n\n",
		"too long":         "id: E-1\nevent: revoked\ndata: [" + strings.Repeat(" ", revocation.MaxEventSize) + "]\n\n",
		"beat of no time":  "id: E-1\nevent: beat\ndata: {}\n\n",
		"beat of no event": "id: E-1\ndata: {\"serverTime\":\"2026-11-28T17:30:00.007Z\"}\n\n",
	}
	sid := session.String()
	for _, data := range []string{
		"", "[", "[]]", "[,]", `[[]]`, `[["` + sid + `"]]`, `[["` + sid + `",-1]]`, `[["` + sid + `",4294967296]]`,
		`[["` + sid + `",01]]`, `[["` + sid + `",1.0]]`, `[["` + sid + `",1],]`, `[["` + sid[1:] + `",1]]`,
		`[["` + strings.Repeat("A", 22) + `",1]]`, `[["` + sid[:21] + `_",1]]`, `[[0,1]]`, `[[1]]`, `[[1,-1]]`,
		`[[9223372036854775808,1]]`, `[[1,2,3]]`, `[[1,2] ]`, `[ ]`,
	} {
		streams["data "+data] = "id: E-1\nevent: revoked\ndata: " + data + "\n\n"
	}
	for name, stream := range streams {
		if events, err := decodeAll(t, stream); !errors.Is(err, revocation.ErrMalformed) {
			t.Errorf("%s: decoded %+v, %v", name, events, err)
		}
	}
	if events, err := decodeAll(t, hello); err != io.EOF || len(events) > 0 {
		t.Errorf("an incomplete event: decoded %+v, %v", events, err)
	}
}

// FuzzChanges checks that what ParseChanges accepts is JSON, and the only text of its changes.
func FuzzChanges(f *testing.F) {
	f.Add(revocation.AppendChanges(nil, changes))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := revocation.ParseChanges(nil, text)
		if err != nil {
			return
		}
		var list [][]any
		if err := json.Unmarshal(text, &list); err != nil || len(list) != len(parsed) {
			t.Errorf("%q is %d changes, but in JSON %d: %v", text, len(parsed), len(list), err)
		}
		if again := revocation.AppendChanges(nil, parsed); string(again) != string(text) {
			t.Errorf("%q became %q", text, again)
		}
	})
}

// FuzzDecoder checks that no stream makes the decoder panic, and that each decoded event has one form.
func FuzzDecoder(f *testing.F) {
	id := revocation.EventID{Epoch: "E1", Sequence: 4}
	f.Add(string(revocation.AppendHello(nil, id, life)))
	f.Add(string(revocation.AppendBeat(revocation.AppendRevoked(nil, id, changes), id, at)))
	f.Fuzz(func(t *testing.T, stream string) {
		events, _ := decodeAll(t, stream)
		for _, e := range events {
			id, _ := revocation.ParseEventID(e.ID)
			var text []byte
			switch e.Name {
			case revocation.HelloEvent:
				text = revocation.AppendHello(nil, id, e.Hello)
			case revocation.RevokedEvent:
				text = revocation.AppendRevoked(nil, id, e.Changes)
			case revocation.BeatEvent:
				text = revocation.AppendBeat(nil, id, e.Beat)
			}
			again, err := decodeAll(t, string(text))
			if err != io.EOF || len(again) != 1 || !reflect.DeepEqual(again[0], e) {
				t.Errorf("%+v became %+v, %v", e, again, err)
			}
		}
	})
}
