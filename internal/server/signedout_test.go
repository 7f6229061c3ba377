package server_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// signedOutCauses sign a user out. The keys are the events of the table in docs/signed-out.md: a kind, and the
// detail after a slash.
var signedOutCauses = map[string]func(b *browser, token string){
	"logout/": func(b *browser, token string) { b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(token)) },
	"sessionEnded/not refreshed in time": func(b *browser, _ string) {
		b.Clock.Add(2 * time.Hour)
		b.sweepAll()
	},
	"sessionEnded/reached its end": func(b *browser, token string) {
		for range 24 {
			b.Clock.Add(59 * time.Minute)
			token = b.refresh(200, token)
		}
		b.Clock.Add(2 * time.Hour)
		b.sweepAll()
	},
	"sessionEnded/the user signed in again and had too many sessions": func(b *browser, _ string) {
		b.login()
		b.login()
	},
	"sessionEnded/token revoked": func(b *browser, token string) { b.revoke(200, token, b.AdminAPIKey) },
	"sessionEnded/": func(b *browser, token string) {
		id := data[[]api.Session](b, "POST", "/v2/auth/sessions", "{}", bearer(token))[0].SessionID
		b.expect(200, "", "DELETE", "/v2/auth/sessions/"+id, "", b.admin())
	},
	"sessionsReset/": func(b *browser, _ string) {
		b.expect(200, "", "POST", fmt.Sprintf("/v2/users/reset/%d", pawltest.UserID), "", b.admin())
	},
	"passwordChanged/": func(b *browser, _ string) {
		b.expect(200, "", "PUT", "/v2/auth/password", fmt.Sprintf(
			`{"currentPassword":%q,"newPassword":"N3w$ecret!x","revokeOtherSessions":true}`, pawltest.Password),
			bearer(b.login()))
	},
	"statusChanged/Suspended": func(b *browser, _ string) {
		b.expect(200, "", "PUT", "/v2/users",
			fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, pawltest.UserID), b.admin())
	},
	"theft/superseded token": func(b *browser, token string) {
		b.refresh(200, token)
		b.Clock.Add(11 * time.Second)
		b.refresh(401, token)
	},
	"refreshRefused/session has ended": func(b *browser, token string) {
		b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(token))
		b.refresh(401, token)
	},
	"refreshRefused/expired": func(b *browser, token string) {
		b.Clock.Add(2 * time.Hour)
		b.refresh(401, token)
	},
	"refreshRefused/superseded a moment before": func(b *browser, token string) {
		b.refresh(200, token)
		b.refresh(401, token)
	},
	"refreshRefused/in a cookie, but not of a session with a cookie": func(b *browser, token string) {
		b.expect(401, api.CodeInvalidSession, "POST", "/v2/auth/refresh", "", cookie(token))
	},
	"refreshRefused/not a token of this server": func(b *browser, token string) {
		b.refresh(401, token[:len(token)-4]+"AAAA")
	},
	"refreshRefused/API key missing or not valid": func(b *browser, token string) {
		b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/refresh", tokenBody(token), apiKey("x"))
	},
	"sessionEnded/the actor may no longer act in it": nil, // TestActorLosesRight
	"storeRestored/": nil, // TestRestore
}

// sweepAll ends the sessions that have timed out.
func (b *browser) sweepAll() {
	b.Helper()
	if err := b.Sweep(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// TestSignedOutCauses causes each event of the table in docs/signed-out.md, and finds it in the audit.
func TestSignedOutCauses(t *testing.T) {
	text, err := os.ReadFile("../../docs/signed-out.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:`([^`]+)` )?\\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(signedOutCauses) {
		t.Errorf("the table has %d rows, and %d causes are known", len(rows), len(signedOutCauses))
	}
	for _, row := range rows {
		kind, detail := api.EventKind(row[1]), row[2]
		t.Run(row[1]+" "+detail, func(t *testing.T) {
			cause, known := signedOutCauses[row[1]+"/"+detail]
			if !known {
				t.Fatal("no cause is known")
			}
			if cause == nil {
				return
			}
			b := start(t, cookieMode(server.CookieLax), pawltest.WithSessionLife(24*time.Hour),
				pawltest.WithConfig(func(c *app.Config) { c.Policy.MaxSessionsPerUser = 2 }))
			cause(b, b.login())
			events := b.audit("", b.admin())
			if !slices.ContainsFunc(events, func(e api.Event) bool {
				return e.Kind == kind && (detail == "" || strings.Contains(e.Detail, detail))
			}) {
				t.Errorf("no such event in %+v", events)
			}
		})
	}
}
