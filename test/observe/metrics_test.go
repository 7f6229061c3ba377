//go:build linux

package observe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

const deploy = "../../deploy"

// TestScrape checks the metrics of a server after some traffic: their values, promtool's check, and that they contain
// no secrets or logins.
func TestScrape(t *testing.T) {
	s := start(t, "")
	s.traffic(t)
	text := s.scrape(t)
	checkLines(t, text,
		`pawl_http_requests_total{code="200",method="POST",route="/v2/auth/refresh"} 2`,
		`pawl_http_requests_total{code="401",method="POST",route="/v2/auth/refresh"} 2`,
		`pawl_http_requests_total{code="405",method="_OTHER",route="/v2/auth/refresh"} 1`,
		`pawl_http_requests_total{code="401",method="GET",route="/v2/users/{id}"} 1`,
		`pawl_http_requests_total{code="404",method="GET",route="other"} 1`,
		`pawl_http_request_duration_seconds_count{route="/v2/auth/refresh"} 5`,
		`pawl_http_requests_in_flight 0`,
		`pawl_refreshes_total{outcome="moved"} 1`,
		`pawl_refreshes_total{outcome="replayed"} 1`,
		`pawl_refreshes_total{outcome="race"} 1`,
		`pawl_refreshes_total{outcome="unknown"} 1`,
		`pawl_refreshes_total{outcome="theft"} 0`,
		`pawl_logins_total{outcome="opened"} 1`,
		`pawl_logins_total{outcome="refused"} 1`,
		`pawl_sessions 1`,
		`pawl_signing_keys 1`,
		`pawl_audit_events_total{kind="refreshRefused"} 2`,
		`pawl_audit_events_lost_total 0`,
		`pawl_store_errors_total 0`,
		`pawl_password_checks_running 0`)
	// Two logins write at least five times before their responses, and the refresh writes once.
	if writes := value(t, text, `pawl_store_batch_size_sum{operation="commit"}`); writes < 6 {
		t.Errorf("%v writes were committed, want at least 6", writes)
	}
	s.checkNoSecrets(t, "the scrape", text)
	promtool(t, text, "check", "metrics")

	r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/metrics", nil)
	do(t, r, http.StatusNotFound) // the public listener
}

// awaitCounters waits until PostgreSQL's counters have the session, which can take 10 seconds.
func awaitCounters(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const sql = "SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = 'pawl.session'::regclass"
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var sessions int
		if err := conn.QueryRow(t.Context(), sql).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
		if sessions == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL counts %d sessions, want 1", sessions)
		}
	}
}

// TestPostgresScrape checks the metrics that PostgreSQL adds, that the alerts and the dashboard use only existing
// metrics, and the metrics while the database is unreachable.
func TestPostgresScrape(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a PostgreSQL")
	}
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	s := start(t, dsn)
	s.traffic(t)
	awaitCounters(t, dsn)
	text := s.scrape(t)
	s.checkNoSecrets(t, "the scrape", text)
	promtool(t, text, "check", "metrics")
	checkLines(t, text,
		`pawl_sessions 1`,
		`pawl_store_batch_size_sum{operation="commit"} 3`,
		`pawl_store_batch_size_sum{operation="read"} 2`,
		`pawl_postgres_connections_max 12`)
	checkNames(t, text)
	checkLabels(t, text)

	credentials := map[string]string{"login": login, "password": passwd}
	old := s.token(t, "/v2/auth/login", credentials, "")
	cluster.Stop()
	s.call(t, "POST", "/v2/auth/refresh", map[string]string{"token": old}, "", http.StatusServiceUnavailable)
	s.call(t, "POST", "/v2/auth/login", credentials, "", http.StatusServiceUnavailable)
	text = s.scrape(t)
	checkLines(t, text, `pawl_refreshes_total{outcome="unavailable"} 1`, `pawl_logins_total{outcome="unavailable"} 1`)
	if strings.Contains(text, "\npawl_store_errors_total 0\n") {
		t.Errorf("the scrape has no store errors, although the database is unreachable:\n%s", text)
	}
}

// checkLines fails the test unless a scrape has all lines.
func checkLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	missing := false
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the scrape lacks %s", line)
			missing = true
		}
	}
	if missing {
		t.Log(text)
	}
}

// checkNames fails the test if a file in deploy uses a metric that the scrape lacks.
func checkNames(t *testing.T, text string) {
	t.Helper()
	exists := map[string]bool{
		"pawl_tls_certificate_not_after_seconds": true, // only with HTTPS; test/e2e and test/acme read it
	}
	for _, name := range regexp.MustCompile(`(?m)^[a-z][a-z0-9_]*`).FindAllString(text, -1) {
		exists[name] = true
	}
	for _, file := range []string{"prometheus/alerts.yml", "grafana/pawl.json"} {
		names := regexp.MustCompile(`\b(pawl|process|go)_[a-z0-9_]+`).FindAllString(read(t, file), -1)
		if len(names) < 5 {
			t.Errorf("%s uses only %q", file, names)
		}
		for _, name := range names {
			if !exists[name] {
				t.Errorf("%s uses %s, which the scrape lacks", file, name)
			}
		}
	}
}

// value returns the value of a series in a scrape.
func value(t *testing.T, text, series string) float64 {
	t.Helper()
	_, rest, _ := strings.Cut(text, "\n"+series+" ")
	number, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Errorf("%s is %q in the scrape", series, number)
	}
	return v
}

var (
	selector = regexp.MustCompile(`\b((?:pawl|process|go)_[a-z0-9_]+)\{(.*?)\}`)
	matcher  = regexp.MustCompile(`(\w+)(=~?)\\?"(.*?)\\?"`)
)

// checkLabels fails the test if a selector in a file in deploy matches no series of the scrape, because of the label's
// name or because of the value of an outcome, an operation or a state.
func checkLabels(t *testing.T, text string) {
	t.Helper()
	for _, file := range []string{"prometheus/alerts.yml", "grafana/pawl.json"} {
		for _, found := range selector.FindAllStringSubmatch(read(t, file), -1) {
			for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
				name, values := m[1], []string{""} // "" matches any value
				switch name {
				case "job", "instance":
					continue // Prometheus adds them
				case "outcome", "operation", "state":
					values = strings.Split(m[3], "|")
				}
				for _, v := range values {
					if v != "" {
						v += `"`
					}
					want := regexp.MustCompile(`(?m)^` + found[1] + `\{.*\b` + name + `="` + v)
					if !want.MatchString(text) {
						t.Errorf("%s selects %s, but no series of the scrape matches %s", file, found[0], want)
					}
				}
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlerts checks the alerts with promtool, and lets it play a series of failures. Each alert must fire in that
// series and must have a section in the operator's document.
func TestAlerts(t *testing.T) {
	page, played := read(t, "../docs/operations.md"), read(t, "../test/observe/testdata/alerts_test.yml")
	names := regexp.MustCompile(`(?m)alert: (\w+)$`)
	for _, alert := range names.FindAllStringSubmatch(read(t, "prometheus/alerts.yml"), -1) {
		if !strings.Contains(page, "`"+alert[1]+"`") {
			t.Errorf("docs/operations.md does not mention %s", alert[1])
		}
		if !strings.Contains(played, `alertname="`+alert[1]+`"`) {
			t.Errorf("%s does not fire in testdata/alerts_test.yml", alert[1])
		}
	}
	dir := t.TempDir()
	for _, file := range []string{deploy + "/prometheus/alerts.yml", "testdata/alerts_test.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "", "check", "rules", filepath.Join(dir, "alerts.yml"))
	promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
}

// TestDashboard checks each expression of the dashboard with promtool, after replacing Grafana's variables.
func TestDashboard(t *testing.T) {
	var board struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	err := json.Unmarshal([]byte(read(t, "grafana/pawl.json")), &board)
	if err != nil || board.UID == "" || len(board.Panels) < 10 {
		t.Fatalf("the dashboard has the UID %q and %d panels, %v", board.UID, len(board.Panels), err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "pawl", "$instance", ".*")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	seen := map[string]bool{}
	for _, panel := range board.Panels {
		if panel.GridPos.W == 0 || panel.GridPos.H == 0 || len(panel.Targets) == 0 {
			t.Errorf("the panel %q is empty", panel.Title)
		}
		for _, target := range panel.Targets {
			name := fmt.Sprintf("panel_%d_%s", panel.ID, target.RefID)
			if seen[name] {
				t.Errorf("%s exists twice", name)
			}
			seen[name] = true
			rules += fmt.Sprintf("  - {record: %s, expr: %q}\n", name, variables.Replace(target.Expr))
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is missing; run \"make deps\"")
	}
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}
