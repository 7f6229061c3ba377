package console_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

var (
	screenshots = flag.String("screenshots", "", "write screenshots of the pages to this folder")
	crowd       = flag.Int("crowd", 60, "number of people in the screenshots, besides the administrator")
)

// pages are the pages that an administrator can open, without those that ask before an action.
func pages() map[string]string {
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	return map[string]string{
		"overview": "", "sessions": "/sessions", "signing-keys": "/signing-keys", "settings": "/settings",
		"people": "/people", "nobody": "/people?q=zzz", "person": person, "edit": person + "/edit",
		"role": person + "/role", "password": person + "/password", "key": person + "/keys", "new": "/people/new",
		"audit": "/audit", "suspend": person + "/suspend", "missing": "/no-page",
	}
}

// prefer sets the colour scheme of a tab.
func (b tab) prefer(scheme string) {
	b.Helper()
	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		params := emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, params)
		return chromedp.Void{}, err
	})
}

// TestScreenshots writes a screenshot of each page for each width and colour scheme, for people to look at.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("run it with -screenshots DIR")
	}
	pawl := newPawl(t)
	if *crowd > 0 {
		seed(t, pawl, *crowd)
	}
	b := asAdmin(t, pawl)
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(scheme)
		for _, width := range []int64{320, 768, 1280, 1920} {
			b.do(chromedp.EmulateViewport(width, 900))
			for name, path := range pages() {
				b.open(path)
				image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(*screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
				if err := os.WriteFile(file, image, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// seed creates people, and opens sessions from a few devices.
func seed(t *testing.T, pawl *pawltest.Server, people int) {
	t.Helper()
	admin := adminOf(pawl)
	first := strings.Fields("Ada Ben Cleo Dan Eva Finn Gita Hugo Ines Jon")
	last := strings.Fields("Abbott Brandt Castro Dubois Eriksen Fischer")
	for i := range people {
		name := []string{first[i%len(first)], last[i/len(first)%len(last)]}
		_, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
			Login: strings.ToLower(fmt.Sprintf("%s.%s%d@example.com", name[0], name[1], i)), FirstName: name[0],
			LastName: name[1], Email: strings.ToLower(name[0] + "@example.com"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	agents := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1",
		"okhttp/4.12.0", "",
	}
	userID := int64(pawltest.UserID)
	for i, agent := range agents {
		_, err := admin.OpenSession(t.Context(), api.OpenSessionRequest{
			UserID: userID, UserAgent: agent, IP: fmt.Sprintf("203.0.113.%d", 7*i+4),
			Device: []string{"Front desk", "Jo's phone", "", ""}[i],
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
