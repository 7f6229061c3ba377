//go:build linux

package observe_test

import (
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

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

const deploy = "../../deploy"

// TestScrape holds the scrape of a server after some traffic: what it counted,
// that promtool finds nothing to say, and that nobody is named in it.
func TestScrape(t *testing.T) {
	s := start(t, "")
	s.traffic(t)
	text := s.scrape(t)
	for _, line := range []string{
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
		`pawl_password_checks_running 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the scrape does not have %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// Two logins are two steps each before the answer, one of them a third, and a refresh is one.
	if steps := value(t, text, `pawl_store_batch_size_sum{operation="commit"}`); steps < 6 {
		t.Errorf("%v steps were committed", steps)
	}
	s.noSecrets(t, "the scrape", text)
	promtool(t, text, "check", "metrics")

	r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/metrics", nil)
	do(t, r, http.StatusNotFound) // the public listener
}

// TestPostgresScrape holds what PostgreSQL adds, that each name in the alerts
// and the dashboard is in the scrape, and what it says when the database is gone.
func TestPostgresScrape(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a PostgreSQL")
	}
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	s := start(t, dsn)
	s.traffic(t)
	pgtest.Exec(t, dsn, "ANALYZE pawl.session")
	text := s.scrape(t)
	s.noSecrets(t, "the scrape", text)
	promtool(t, text, "check", "metrics")
	for _, line := range []string{`pawl_sessions 1`, `pawl_store_batch_size_sum{operation="commit"} 3`, `pawl_store_batch_size_sum{operation="read"} 2`, `pawl_postgres_connections_max 12`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the scrape does not have %s\n%s", line, text)
		}
	}
	namesThere(t, text)
	labelsThere(t, text)

	old := s.token(t, "/v2/auth/login", map[string]string{"login": login, "password": passwd}, "")
	cluster.Stop()
	s.call(t, "POST", "/v2/auth/refresh", map[string]string{"token": old}, "", http.StatusServiceUnavailable)
	s.call(t, "POST", "/v2/auth/login", map[string]string{"login": login, "password": passwd}, "", http.StatusServiceUnavailable)
	text = s.scrape(t)
	if !strings.Contains(text, "\n"+`pawl_refreshes_total{outcome="unavailable"} 1`+"\n") || !strings.Contains(text, "\n"+`pawl_logins_total{outcome="unavailable"} 1`+"\n") || strings.Contains(text, "\npawl_store_errors_total 0\n") {
		t.Errorf("without its database the scrape is\n%s", text)
	}
}

// namesThere fails if a file in deploy names what the scrape does not have.
func namesThere(t *testing.T, text string) {
	t.Helper()
	there := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^[a-z][a-z0-9_]*`).FindAllString(text, -1) {
		there[name] = true
	}
	for _, file := range []string{"prometheus/alerts.yml", "grafana/pawl.json"} {
		names := used(t, file)
		if len(names) < 5 {
			t.Errorf("%s names %q only", file, names)
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s names %s, which the scrape does not have", file, name)
			}
		}
	}
}

// value is that of a series in a scrape.
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

// labelsThere fails if a selector in a file of deploy has a label that no such
// series of the scrape has, or an outcome or an operation that there is none of.
func labelsThere(t *testing.T, text string) {
	t.Helper()
	for _, file := range []string{"prometheus/alerts.yml", "grafana/pawl.json"} {
		for _, found := range selector.FindAllStringSubmatch(read(t, file), -1) {
			for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
				name, values := m[1], []string{""} // any
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
					if want := regexp.MustCompile(`(?m)^` + found[1] + `\{.*\b` + name + `="` + v); !want.MatchString(text) {
						t.Errorf("%s selects %s, and the scrape has nothing like %s", file, found[0], want)
					}
				}
			}
		}
	}
}

// used are the names of our metrics, and of Go's and the process's, in a file of deploy.
func used(t *testing.T, file string) []string {
	t.Helper()
	return regexp.MustCompile(`\b(pawl|process|go)_[a-z0-9_]+`).FindAllString(read(t, file), -1)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlerts lets promtool read the alerts, and play a bad day to them; the
// operator's page says what to do about each.
func TestAlerts(t *testing.T) {
	page, played := read(t, "../docs/operations.md"), read(t, "../test/observe/testdata/alerts_test.yml")
	for _, alert := range regexp.MustCompile(`(?m)alert: (\w+)$`).FindAllStringSubmatch(read(t, "prometheus/alerts.yml"), -1) {
		if !strings.Contains(page, "`"+alert[1]+"`") {
			t.Errorf("docs/operations.md has nothing about %s", alert[1])
		}
		if !strings.Contains(played, `alertname="`+alert[1]+`"`) {
			t.Errorf("testdata/alerts_test.yml does not see %s fire", alert[1])
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

// TestDashboard lets promtool read each expression of the dashboard, with
// Grafana's variables filled in.
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
	if err := json.Unmarshal([]byte(read(t, "grafana/pawl.json")), &board); err != nil || board.UID == "" || len(board.Panels) < 10 {
		t.Fatalf("%q, %d panels, %v", board.UID, len(board.Panels), err)
	}
	filled := strings.NewReplacer("$__rate_interval", "5m", "$job", "pawl", "$instance", ".*")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	seen := map[string]bool{}
	for _, panel := range board.Panels {
		if panel.GridPos.W == 0 || panel.GridPos.H == 0 || len(panel.Targets) == 0 {
			t.Errorf("nothing is to be seen of %q", panel.Title)
		}
		for _, target := range panel.Targets {
			name := fmt.Sprintf("panel_%d_%s", panel.ID, target.RefID)
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			rules += fmt.Sprintf("  - {record: %s, expr: %q}\n", name, filled.Replace(target.Expr))
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
		t.Skip("promtool is not here: run \"make deps\"")
	}
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}
