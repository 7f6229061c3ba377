package browser_test

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

	"github.com/pawlauth/pawl/pawltest"
)

var screenshots = flag.String("screenshots", "", "write screenshots of the API page to this folder")

// TestScreenshots writes a screenshot of the API page for each width and colour scheme, for people to look at.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("run it with -screenshots DIR")
	}
	server := pawltest.New(t)
	ctx := browser(t)
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range []struct{ width, height int64 }{{320, 640}, {640, 320}, {768, 1024}, {1280, 900}} {
			for _, target := range []string{"", "#login", "#audit", "#listKeys", "#session"} {
				name := fmt.Sprintf("%d-%s-%s.png", size.width, scheme, target)
				file := filepath.Join(*screenshots, name)
				shot(ctx, t, server.URL+"/docs"+target, file, size.width, size.height, scheme)
			}
		}
	}
}

func shot(ctx context.Context, t *testing.T, url, file string, width, height int64, scheme string) {
	t.Helper()
	prefer := func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		params := emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, params)
		return chromedp.Void{}, err
	}
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(width, height),
		prefer,
		chromedp.Navigate("about:blank"),
		chromedp.Navigate(url), chromedp.WaitReady("details#ready"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(url, "#session") { // one with a response, and with the credentials open
		send(ctx, t, "session")
		evaluate[chromedp.Void](ctx, t, `document.getElementById("page-credentials").open = true`)
	}
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
}
