package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/metrics"
)

// overviewPage is the data of the overview.
type overviewPage struct {
	Warnings []warning
	Charts   []chart
	Facts    []fact
}

// warning is a problem of the server, and a sentence with what to do.
type warning struct{ Problem, Remedy string }

// fact is a figure with its name.
type fact struct{ Name, Value string }

// chart is a series of the last hour.
type chart struct {
	Name    string
	Total   string // the figure beside the name
	Area    string // the path of the filled curve, in a box of chartWidth times chartHeight
	Summary string // the chart in words, for a screen reader
	Bad     bool   // whether more than 0 is bad
}

const (
	chartWidth  = 2 * (metrics.RecentMinutes - 1)
	chartHeight = 32
)

// home shows the overview to those who administer all tenants, and leads others to their first page.
func (c *Console) home(ctx context.Context, r *request) (response, error) {
	switch u := r.caller.User; {
	case u.Level <= authority.NetOps && c.recent != nil:
		return c.overview(ctx, r)
	case u.IsAdmin():
		return next("/people", ""), nil
	default:
		return next(personPath(u.ID), ""), nil
	}
}

func (c *Console) overview(ctx context.Context, r *request) (response, error) {
	data := overviewPage{Charts: c.charts(ctx)}
	var signing keyring.Info
	if r.caller.User.Level == authority.Root {
		keys, err := c.authority.SigningKeys(ctx, r.caller)
		if err != nil {
			return response{}, err
		}
		for _, key := range keys {
			if key.State == keyring.Signing {
				signing = key
			}
		}
	}
	data.Warnings = c.warnings(ctx, signing)
	data.Facts = c.facts(ctx, signing)
	return response{page: "overview", title: t("overview.title"), data: data}, nil
}

func (c *Console) charts(ctx context.Context) []chart {
	charts := []chart{c.sessionChart(ctx)}
	for _, s := range []struct {
		name   string
		series int
	}{
		{name: "refreshes", series: metrics.RecentRefreshes}, {name: "logins", series: metrics.RecentLogins},
		{name: "refusals", series: metrics.RecentRefusals}, {name: "thefts", series: metrics.RecentThefts},
	} {
		var values [metrics.RecentMinutes]int64
		var sum int64
		for i, n := range c.recent.Counts(s.series) {
			values[i] = int64(n)
			sum += int64(n)
		}
		name := t("chart." + s.name)
		charts = append(charts, chart{
			Name: name, Total: grouped(sum), Area: area(values), Bad: s.series == metrics.RecentThefts && sum > 0,
			Summary: t("chart.summary", name, sum, peak(values)),
		})
	}
	return charts
}

// sessionChart is the chart of the number of live sessions, whose last value is the present one.
func (c *Console) sessionChart(ctx context.Context) chart {
	values := c.recent.SessionSamples()
	total := "–"
	if n, known := c.recent.Sessions(ctx); known {
		values[len(values)-1] = n
		total = grouped(n)
	}
	name := t("chart.sessions")
	return chart{
		Name: name, Total: total, Area: area(values), Summary: t("chart.sessions-summary", total, peak(values)),
	}
}

func peak(values [metrics.RecentMinutes]int64) (highest int64) {
	for _, value := range values {
		highest = max(highest, value)
	}
	return highest
}

// area returns the path of a filled curve. The highest value fills the height; an unknown value, -1, counts as 0.
func area(values [metrics.RecentMinutes]int64) string {
	highest := float64(max(1, peak(values)))
	var path strings.Builder
	fmt.Fprintf(&path, "M0 %d", chartHeight)
	for i, value := range values {
		y := chartHeight - float64(max(0, value))/highest*(chartHeight-1)
		fmt.Fprintf(&path, "L%d %.1f", 2*i, y)
	}
	fmt.Fprintf(&path, "L%d %dZ", chartWidth, chartHeight)
	return path.String()
}

// The limits of the warnings.
const (
	certificateWarning = 14 * 24 * time.Hour
	oldSigningKey      = 365 * 24 * time.Hour
)

// warnings returns the problems of this node, the most urgent first.
func (c *Console) warnings(ctx context.Context, signing keyring.Info) (all []warning) {
	add := func(show bool, name string, args ...any) {
		if show {
			all = append(all, warning{Problem: t("warn."+name, args...), Remedy: t("warn." + name + "-remedy")})
		}
	}
	add(c.authority.Ready(ctx) != nil, "store")
	add(c.recent.DiskFull(), "reserve")
	var thefts uint64
	for _, n := range c.recent.Counts(metrics.RecentThefts) {
		thefts += n
	}
	add(thefts > 0, "thefts", thefts)
	lost := c.recent.EventsLost()
	add(lost > 0, "lost", lost)
	if expires, known := c.recent.CertificateNotAfter(); known {
		add(expires.Sub(c.clock()) < certificateWarning, "certificate", c.until(expires.Unix()))
	}
	old := signing.ID != "" && c.clock().Unix()-signing.SignsFrom > int64(oldSigningKey/time.Second)
	add(old, "key", c.ago(signing.SignsFrom))
	return all
}

func (c *Console) facts(ctx context.Context, signing keyring.Info) []fact {
	commit := "–"
	if took := c.recent.CommitTime(); took > 0 {
		commit = t("fact.milliseconds", float64(took.Microseconds())/1000)
	}
	facts := []fact{
		{Name: t("fact.build"), Value: c.build},
		{Name: t("fact.started"), Value: c.ago(c.clock().Unix() - int64(time.Since(c.recent.Begun())/time.Second))},
		{Name: t("fact.commit"), Value: commit},
	}
	if nodes, known := c.recent.Nodes(ctx); known {
		value := t("fact.nodes-are", len(nodes), strings.Join(nodes, ", "))
		facts = append(facts, fact{Name: t("fact.nodes"), Value: value})
	}
	if signing.ID != "" {
		id := signing.ID[:min(8, len(signing.ID))]
		facts = append(facts, fact{
			Name: t("fact.key"), Value: t("fact.key-is", id, signing.Algorithm, c.ago(signing.SignsFrom)),
		})
	}
	if expires, known := c.recent.CertificateNotAfter(); known {
		facts = append(facts, fact{Name: t("fact.certificate"), Value: c.until(expires.Unix())})
	}
	return facts
}
