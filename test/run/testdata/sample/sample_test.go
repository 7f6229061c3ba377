// Package sample_test has a test with each outcome.
package sample_test

import (
	"os"
	"testing"
)

func TestPass(t *testing.T) { t.Log("not printed") }

func TestSkip(t *testing.T) {
	t.Run("tool", func(t *testing.T) { t.Skip(`widget is missing; run "make deps"`) })
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) { t.Skip("this machine has two widgets") })
	}
	t.Run("other", func(t *testing.T) { t.Skip("this machine has no widget") })
}

func TestFail(t *testing.T) {
	if os.Getenv("SAMPLE") == "fail" {
		t.Error("printed")
	}
	if os.Getenv("SAMPLE") == "panic" {
		t.Log("before the panic")
		panic("printed too")
	}
}
