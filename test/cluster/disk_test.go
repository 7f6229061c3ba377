//go:build linux

package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestFullDisk fills the disk of the database. Requests that need space must return 503 without an effect, and all
// other requests must succeed. Once the disk has space again, all requests must succeed.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	cluster := pgtest.Start(t)
	small := smallDisk(t, cluster, "24m")
	cluster.Exec(t, "postgres",
		"CREATE TABLESPACE small LOCATION '"+small+"'", "CREATE DATABASE tight TABLESPACE small")
	c := startNodes(t, 2, cluster.DSN("tight"))
	cluster.Exec(t, "tight", "ALTER TABLE pawl.session SET (autovacuum_enabled = false)")
	token := c.login(0)
	ballast := filepath.Join(small, "ballast")
	fill(t, ballast)
	unavailable, current := 0, token
	await(t, time.Minute, "logins to return 503", func() bool {
		switch status, _ := c.call(unavailable, "/v2/auth/login", loginBody); status {
		case 200:
		case 503:
			unavailable++
		default:
			t.Fatalf("a login on a full disk: %d, want 200 or 503", status)
		}
		switch status, next := c.refresh(unavailable, current, ""); status {
		case 200: // the page of the session still has space
			current = next
		case 503:
		default:
			t.Fatalf("a refresh on a full disk: %d, want 200 or 503", status)
		}
		c.everywhere(current, 200)
		return unavailable >= 5
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "logins to succeed again", func() bool {
		status, _ := c.call(0, "/v2/auth/login", loginBody)
		return status == 200
	})
	if status, next := c.refresh(0, current, ""); status != 200 || !c.everywhere(next, 200) {
		t.Errorf("a refresh once the disk has space again: %d", status)
	}
}

// smallDisk mounts a disk of the given size that belongs to the server's user.
func smallDisk(t *testing.T, cluster *pgtest.Cluster, size string) string {
	t.Helper()
	dir := filepath.Join(pgtest.Folder(t), "small")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk: %s", out)
	}
	t.Cleanup(func() {
		cluster.Stop()
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	pgtest.Own(t, dir)
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
}
