// Package smalldisk mounts small disks, and fills them. It is for Linux.
package smalldisk

import (
	"os"
	"os/exec"
	"testing"
)

// Mount mounts a disk of a size, such as "32m", until the end of the test. It skips the test if that is not permitted.
func Mount(t testing.TB, size string) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	dir = t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil { // lazy: the server may run
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

// Fill writes a file until the disk is full.
func Fill(t testing.TB, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
}
