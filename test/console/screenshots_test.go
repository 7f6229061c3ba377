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

// filled starts a server with many people, written into the store directly, or with a few.
func filled(t *testing.T, people int) *pawltest.Server {
	t.Helper()
	const few = 1000 // are created by the API in less than a second
	if people <= few {
		pawl := newPawl(t)
		seed(t, pawl, people)
		return pawl
	}
	dir := t.TempDir()
	fill(t, "sqlite:"+dir, people, 3*people)
	pawl := startOn(t, dir)
	seed(t, pawl, 0)
	return pawl
}

// TestScreenshots writes a screenshot of each page for each width and colour scheme, for people to look at.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("run it with -screenshots DIR")
	}
	pawl := newPawl(t)
	if *crowd > 0 {
		pawl = filled(t, *crowd)
	}
	empty := new(pawltest.Server)
	empty.URL, _, _ = serveSetup(t, "sqlite:"+filepath.Join(t.TempDir(), "new"))
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{320, 768, 1280, 1920} {
			b := asAdmin(t, pawl)
			guest, setup := newTab(t, pawl), newTab(t, empty)
			shot := func(b tab, name, address string) {
				t.Helper()
				b.do(chromedp.EmulateViewport(width, max(900, 1800-2*width)))
				b.prefer(scheme)
				b.do(chromedp.Navigate(address))
				image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(*screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
				if err := os.WriteFile(file, image, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for name, path := range pages() {
				shot(b, name, b.url+path)
			}
			shot(b, "docs", pawl.URL+"/docs")
			shot(guest, "sign-in", guest.url+"/sign-in")
			shot(setup, "setup", setup.url+"/setup")
		}
	}
}

// agents are user agents of the sessions in the tests.
var agents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1",
	"okhttp/4.12.0", "",
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
