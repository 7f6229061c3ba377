package console_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/smalldisk"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/internal/test/testcert"
	"github.com/pawlauth/pawl/pawltest"
)

// warned waits until the overview has a warning with these texts. The page updates itself.
func (b tab) warned(problem, remedy string) {
	b.Helper()
	b.until(`[...document.querySelectorAll(".warning")].some((warning) =>
		warning.innerText.includes("` + problem + `") && warning.innerText.includes("` + remedy + `"))`)
}

// unwarned waits until the overview has no warning with a text.
func (b tab) unwarned(problem string) {
	b.Helper()
	b.until(`!!document.querySelector(".charts") && ![...document.querySelectorAll(".warning")].some((warning) =>
		warning.innerText.includes("` + problem + `"))`)
}

// TestCertificateWarning serves with a certificate that expires in a week, and then renews it.
func TestCertificateWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no SIGHUP")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	testcert.Write(t, cert, key, 7*24*time.Hour+time.Hour)
	binary, data := testbin.Build(t), filepath.Join(dir, "data")
	created := testbin.Init(t, binary, nil, "--data", data)
	server := testbin.StartServe(t, binary, nil, "--data", data, "--tls-cert", cert, "--tls-key", key)
	https := strings.Replace(server.URL, "http://", "https://", 1)
	b := newTab(t, &pawltest.Server{URL: https})
	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		params := security.SetIgnoreCertificateErrorsParams{Ignore: true}
		_, err := cdp.Call(ctx, target, security.SetIgnoreCertificateErrors, params)
		return chromedp.Void{}, err
	})
	b.signIn(created.Login, created.Password)
	b.warned("The certificate of the server expires in 7 days.", "Renew it, and send SIGHUP")
	testcert.Write(t, cert, key, 90*24*time.Hour)
	if err := server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.unwarned("The certificate of the server expires")
	if shown := b.text(".facts"); !strings.Contains(shown, "in 89 days") && !strings.Contains(shown, "in 90 days") {
		t.Errorf("the facts are %q", shown)
	}
}

// TestDiskWarning fills the disk, and then frees it.
func TestDiskWarning(t *testing.T) {
	disk := smalldisk.Mount(t, "32m")
	pawl := startOn(t, filepath.Join(disk, "data"))
	b := asAdmin(t, pawl)
	const problem = "The disk of the server is full."
	b.unwarned(problem)
	ballast := filepath.Join(disk, "ballast")
	smalldisk.Fill(t, ballast)
	login := func() error {
		_, err := pawl.Client(client.WithRetries(0)).Login(t.Context(), pawltest.Login, pawltest.Password)
		return err
	}
	ctx, cancel := b.step()
	defer cancel()
	for login() == nil { // until the write-ahead log needs space
		if ctx.Err() != nil {
			t.Fatal("the disk is not full")
		}
	}
	b.warned(problem, "Free 16 MiB or more on the disk of the data folder.")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = b.step()
	defer cancel()
	for err := login(); err != nil; err = login() { // until the server tries again, a second after the last failure
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.unwarned(problem)
}

// TestLostEventsWarning takes the table of the events away while a person signs in. The warning disappears an hour
// after the last loss, which TestEventsLost in internal/metrics shows.
func TestLostEventsWarning(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	pawl := newPawl(t, pawltest.WithPostgres(dsn))
	b := asAdmin(t, pawl)
	const problem = "missing from the audit."
	b.unwarned(problem)
	pgtest.Exec(t, dsn, "ALTER TABLE pawl.event RENAME TO gone")
	signedIn(t, pawl)
	b.warned("An event of the last hour is "+problem, "The log of the server has the events, and the reason")
	pgtest.Exec(t, dsn, "ALTER TABLE pawl.gone RENAME TO event")
	signedIn(t, pawl)
	b.open("/audit?kind=eventsLost")
	b.until(`document.querySelector("tbody")?.innerText.includes("1 events are in the log only")`)
}
