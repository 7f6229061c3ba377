package console_test

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/pawltest"
)

// TestExports exports more events than one read returns, in both formats and with a filter. Each file must have the
// events that the API lists, oldest first.
func TestExports(t *testing.T) {
	const many, thefts = 101_000, 1200
	pawl := startWithEvents(t, many, thefts)
	v := adminVisitor(t, pawl)
	for format, parse := range map[string]func(*testing.T, string) []int64{"csv": csvIDs, "jsonl": jsonIDs} {
		t.Run(format, func(t *testing.T) {
			_, text := v.send("/audit/"+format+"?kind=theft", nil)
			if got, want := parse(t, text), eventsOf(t, pawl, api.EventTheft); !slices.Equal(got, want) {
				t.Errorf("the export has %d events, the API lists %d", len(got), len(want))
			}
			if format != "csv" {
				return // the formats share the reading, and all events take a while
			}
			_, text = v.send("/audit/"+format, nil)
			got := parse(t, text)
			if len(got) < many || !slices.IsSorted(got) || len(slices.Compact(got)) < many {
				t.Errorf("the export has %d events, want %d or more, each once", len(got), many)
			}
		})
	}
}

// exportWriter calls a function before each write, and when the handler sets the deadline of the next one.
type exportWriter struct {
	http.ResponseWriter
	before   func() error
	deadline func(time.Time)
}

func (w exportWriter) Write(text []byte) (int, error) {
	if err := w.before(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(text)
}

func (w exportWriter) SetWriteDeadline(at time.Time) error {
	w.deadline(at)
	return nil
}

// TestExportStops exports to a client that does not read, and for an administrator who is suspended meanwhile. The
// download must fail instead of looking complete. Each page of an export has a deadline of its own.
func TestExportStops(t *testing.T) {
	before := func() error { return nil }
	var deadlines, tooLong int
	pawl := startWithEvents(t, 5000, 1, pawltest.WithHandler(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/console/audit/") {
				w = exportWriter{ResponseWriter: w, before: before, deadline: func(at time.Time) {
					deadlines++
					if time.Until(at) > 31*time.Second {
						tooLong++
					}
				}}
			}
			h.ServeHTTP(w, r)
		})
	}))
	const login, password = "second@example.com", "S3cond!admin"
	second, err := adminOf(pawl).CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, Password: password, AuthLevel: api.LevelRoot,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, pawl)
	v.signIn(login, password, "")
	export := func() error { return v.download("/audit/jsonl") }
	err = export()
	if err != nil || deadlines < 10 || tooLong > 0 {
		t.Errorf("the export has %v and %d deadlines, of which %d are too long", err, deadlines, tooLong)
	}
	writes := 0
	before = func() error {
		writes++
		if writes > 700 {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	if err := export(); err == nil {
		t.Error("the export looks complete to a client that does not read")
	}
	before = sync.OnceValue(func() error {
		change := api.UpdateUserRequest{UserID: second.UserID, Status: new(api.StatusSuspended)}
		_, err := adminOf(pawl).UpdateUser(t.Context(), change)
		return err
	})
	if err := export(); err == nil {
		t.Error("the export continues for a suspended administrator")
	}
}

// download returns the error of a download.
func (v *visitor) download(path string) error {
	r, err := http.NewRequestWithContext(v.tb.Context(), http.MethodGet, v.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Cookie", v.cookie)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// startWithEvents starts a server on a store with sign-ins and thefts.
func startWithEvents(t *testing.T, all, thefts int, options ...pawltest.Option) *pawltest.Server {
	t.Helper()
	dir := t.TempDir()
	store := openStore(t, "sqlite:"+dir)
	events := make([]audit.Event, all)
	for i := range events {
		events[i] = audit.Event{At: time.Now().Unix(), Kind: audit.Login, User: pawltest.UserID}
		if i%(all/thefts) == 0 && i/(all/thefts) < thefts {
			events[i].Kind = audit.Theft
		}
	}
	for page := range slices.Chunk(events, 5000) {
		if err := store.AddEvents(t.Context(), page); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return startOn(t, dir, options...)
}

// eventsOf returns the ids of all events of a kind, as the API lists them, oldest first.
func eventsOf(t *testing.T, pawl *pawltest.Server, kind api.EventKind) (ids []int64) {
	t.Helper()
	var last int64
	for {
		request := api.AuditRequest{Kind: kind, After: &last, RecordsPerPage: 500}
		events, err := adminOf(pawl).Audit(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return ids
		}
		for _, e := range events {
			ids = append(ids, e.EventID)
		}
		last = ids[len(ids)-1]
	}
}

func csvIDs(t *testing.T, text string) (ids []int64) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		id, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func jsonIDs(t *testing.T, text string) (ids []int64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var event struct {
			ID int64 `json:"eventId"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, event.ID)
	}
	return ids
}
