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

// TestFullDisk fills the disk under the database: what needs room answers 503
// and changes nothing, what does not goes on, and all of it when there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	cluster := pgtest.Start(t)
	small := smallDisk(t, cluster, "24m")
	cluster.Exec(t, "postgres", "CREATE TABLESPACE small LOCATION '"+small+"'", "CREATE DATABASE tight TABLESPACE small")
	c := startNodes(t, 2, cluster.DSN("tight"))
	cluster.Exec(t, "tight", "ALTER TABLE pawl.session SET (autovacuum_enabled = false)")
	token := c.login(0)
	ballast := filepath.Join(small, "ballast")
	fill(t, ballast)
	refused, current := 0, token
	await(t, time.Minute, "logins to be refused", func() bool {
		switch status, _ := c.call(refused, "/v2/auth/login", loginBody); status {
		case 200:
		case 503:
			refused++
		default:
			t.Fatalf("on a full disk a login answers %d", status)
		}
		switch status, next := c.refresh(refused, current, ""); status {
		case 200: // it found room in the session's own page
			current = next
		case 503:
		default:
			t.Fatalf("on a full disk a refresh answers %d", status)
		}
		c.everywhere(current, 200)
		return refused >= 5
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "logins to go on", func() bool {
		status, _ := c.call(0, "/v2/auth/login", loginBody)
		return status == 200
	})
	if status, next := c.refresh(0, current, ""); status != 200 || !c.everywhere(next, 200) {
		t.Errorf("with room again a refresh answers %d", status)
	}
}

// smallDisk mounts a disk of so many bytes that the server may use.
func smallDisk(t *testing.T, cluster *pgtest.Cluster, size string) string {
	t.Helper()
	dir := filepath.Join(pgtest.Folder(t), "small")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %s", out)
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
