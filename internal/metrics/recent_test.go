package metrics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlauth/pawl/internal/metrics"
)

// TestEventsLost counts the lost events of the last hour, to a minute, before and after the server has run for an hour.
func TestEventsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.NewRecent()
		var lost int64
		m.Register(metrics.Gauges{Audit: func() (int, int64) { return 0, lost }})
		for minute := range 4 * 60 {
			switch minute {
			case 10, 130:
				lost += 3
			case 40:
				lost += 2
			}
			want := int64(0)
			for at, n := range map[int]int64{10: 3, 40: 2, 130: 3} {
				if minute >= at && minute < at+59 {
					want += n
				}
			}
			if got := m.Recent().EventsLost(); got != want {
				t.Errorf("after %d minutes, %d events are lost, want %d", minute, got, want)
			}
			m.Sample(t.Context())
			time.Sleep(time.Minute)
		}
	})
}
