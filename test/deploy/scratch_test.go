//go:build linux

// Package deploy_test checks the means of deployment: the container image, the systemd unit, the compose file with its
// gateway, the manifests for Kubernetes, the release, and the script that installs the tools for tests.
package deploy_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

const (
	top   = "../.."
	login = "admin@example.com"
)

// image is the last stage of the Dockerfile as a folder.
type image struct {
	built               map[string]fs.FileMode // the files and folders that the first stage makes
	root                string
	entry, args, health []string
	env                 []string
	uid, gid            uint32
}

// TestScratch runs the image's commands as the image's user, with nothing but the image's files around them. It uses a
// chroot instead of a container, which needs root but no Docker.
func TestScratch(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	img := readImage(t)
	out, err := img.command(append(img.entry, "init", "--login", login, "--json")...).Output()
	var created struct{ Password string }
	if err != nil || json.Unmarshal(out, &created) != nil {
		t.Fatalf("init: %v %s", err, stderrOf(err))
	}
	command := img.command(append(img.entry, img.args...)...)
	command.Env = append(command.Env, "PAWL_ADDR=127.0.0.1:0")
	server := start(t, command)
	addr := strings.TrimPrefix(server.URL, "http://")
	probe := func() error {
		health := img.command(img.health...)
		health.Env = append(health.Env, "PAWL_ADDR="+addr)
		_, err := health.Output()
		return err
	}
	if err := probe(); err != nil {
		t.Errorf("the health check of a running server: %v %s", err, stderrOf(err))
	}
	signInAndRefresh(t, "http://"+addr, created.Password)
	data := filepath.Join(img.root, "data")
	info, err := os.Stat(filepath.Join(data, "pawl.db"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != img.uid {
		t.Errorf("the database does not belong to the image's user alone: %v, %v", info, err)
	}
	modes := map[string]fs.FileMode{"data": fs.ModeDir | 0o700, "tmp": fs.ModeDir | fs.ModeSticky | 0o777}
	for name, want := range modes {
		if info, err := os.Stat(filepath.Join(img.root, name)); err != nil || info.Mode() != want {
			t.Errorf("/%s is %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	drain(t, server)
	if err := probe(); err == nil || err.(*exec.ExitError).ExitCode() != 1 {
		t.Errorf("the health check of a stopped server: %v, want exit code 1", err)
	}
}

// readImage executes the COPY lines of the Dockerfile's last stage, and reads its other lines. An unknown line fails
// the test.
func readImage(t *testing.T) *image {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	first, stage, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok {
		t.Fatal("the last stage is not from scratch")
	}
	img := &image{root: t.TempDir(), built: built(t, first)}
	if err := os.Chmod(img.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stage) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "COPY":
			img.copy(t, strings.Fields(rest))
		case "ENV":
			img.env = append(img.env, rest)
		case "USER":
			img.uid, img.gid = owner(t, rest)
		case "ENTRYPOINT":
			img.entry = words(t, rest)
		case "CMD":
			img.args = words(t, rest)
		case "HEALTHCHECK":
			_, rest, _ = strings.Cut(rest, "CMD ")
			img.health = words(t, rest)
		case "", "#", "VOLUME", "EXPOSE":
		default:
			t.Fatalf("this test does not support this line of the Dockerfile: %s", line)
		}
	}
	if img.uid == 0 || img.gid == 0 {
		t.Fatal("the image runs as root")
	}
	return img
}

// copy executes "COPY --from=build [--chown=U:G] SOURCE TARGET". Like BuildKit, it copies the contents of a source
// folder, and creates a missing target folder with the mode 0755.
func (img *image) copy(t *testing.T, args []string) {
	t.Helper()
	uid, gid := uint32(0), uint32(0)
	for ; strings.HasPrefix(args[0], "--"); args = args[1:] {
		if text, ok := strings.CutPrefix(args[0], "--chown="); ok {
			uid, gid = owner(t, text)
		}
	}
	if args[0] == "/etc/ssl/certs/ca-certificates.crt" { // the test opens no TLS connections
		return
	}
	copied := 0
	for source, mode := range img.built {
		target := filepath.Join(img.root, args[1])
		if within, ok := strings.CutPrefix(source, strings.TrimSuffix(args[0], "/")+"/"); ok {
			target = filepath.Join(target, within)
		} else if source != args[0] {
			continue
		} else if mode.IsDir() {
			mode = fs.ModeDir | 0o755
		}
		copied++
		err := os.MkdirAll(target, 0o755)
		if !mode.IsDir() {
			t.Setenv("CGO_ENABLED", "0")
			err = errors.Join(os.Remove(target), os.Rename(testbin.Build(t, "-trimpath", "-ldflags", "-s -w"), target))
		}
		if err := errors.Join(err, os.Chown(target, int(uid), int(gid)), os.Chmod(target, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if copied == 0 {
		t.Fatalf("this test does not find the source of %s", args[0])
	}
}

// built returns the binary and the folders with a mode that the first stage of the Dockerfile makes.
func built(t *testing.T, stage string) map[string]fs.FileMode {
	t.Helper()
	made := map[string]fs.FileMode{}
	for _, match := range regexp.MustCompile(`mkdir -m (\d+) (\S+)`).FindAllStringSubmatch(stage, -1) {
		mode, err := strconv.ParseUint(match[1], 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		made[match[2]] = fs.ModeDir | fs.FileMode(mode&0o777)
		if mode&0o1000 != 0 {
			made[match[2]] |= fs.ModeSticky
		}
	}
	binary := regexp.MustCompile(` -o (\S+)`).FindStringSubmatch(stage)
	if binary == nil {
		t.Fatal("the first stage builds no binary")
	}
	made[binary[1]] = 0o755
	return made
}

func (img *image) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", img.env
	user := &syscall.Credential{Uid: img.uid, Gid: img.gid}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: img.root, Credential: user}
	return cmd
}

func owner(t *testing.T, text string) (uid, gid uint32) {
	t.Helper()
	u, g, _ := strings.Cut(text, ":")
	user, err1 := strconv.ParseUint(u, 10, 32)
	group, err2 := strconv.ParseUint(g, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("%q is not a user id and a group id: %v", text, err)
	}
	return uint32(user), uint32(group)
}

func words(t *testing.T, text string) (list []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%s needs a shell, but the image has none: %v", text, err)
	}
	return list
}

// start starts a "pawl serve", and returns when it listens. The process is killed at the end of the test if it is still
// running. A failed test logs what the server has logged.
func start(t *testing.T, cmd *exec.Cmd) *testbin.Server {
	t.Helper()
	server, err := testbin.RunCommand(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.End(t) })
	return server
}

// drain stops a server with SIGTERM, as Docker and systemd do.
func drain(t *testing.T, server *testbin.Server) {
	t.Helper()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// signInAndRefresh signs in and refreshes. Afterwards the server must reject the superseded token.
func signInAndRefresh(t *testing.T, url, password string) {
	t.Helper()
	c := testbin.Client(t, url)
	old, err := c.Login(t.Context(), login, password)
	if err != nil {
		t.Fatalf("sign-in: %v", err)
	}
	fresh, err := c.Refresh(t.Context(), old.Token)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	_, err = testbin.Client(t, url, client.WithBearer(old.Token)).Session(t.Context())
	if !errors.Is(err, client.ErrInvalidSession) {
		t.Errorf("the superseded token: %v, want %v", err, client.ErrInvalidSession)
	}
	if _, err := testbin.Client(t, url, client.WithBearer(fresh.Token)).Session(t.Context()); err != nil {
		t.Errorf("the new token: %v", err)
	}
}

func stderrOf(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(exit.Stderr)
	}
	return ""
}
