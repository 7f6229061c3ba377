package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == floorMode { // startFloor runs this binary again
		fail(serveFloor(os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

// TestTable measures the table with runs that are too short for its figures, to check that it is complete.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the real binary")
	}
	servers, err := startAll(t.Context(), t.TempDir(), tableConns)
	for _, s := range servers {
		t.Cleanup(s.stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printTable(t.Context(), &out, servers, 1, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := printOpenings(t.Context(), &out, servers, 1, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"| session | floor |", "| refresh | floor |", "| session | SQLite |", "| refresh | SQLite |", "\n| SQLite |",
		"| server | login | sessions/open |",
	} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the table lacks the row %q:\n%s", row, out.String())
		}
	}
}

// TestMatrix checks that the matrix has a row for each variant and call, on all CPUs and on one.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the real binary")
	}
	dir := t.TempDir()
	p := programs{binary: testbin.Build(t), machine: "all CPUs"}
	for range 2 {
		var out strings.Builder
		if err := runMatrix(t.Context(), &out, p, []int{1, 4}, 1, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for _, name := range append(variantNames(), floorName) {
			if got := strings.Count(out.String(), "\n| "+name+" |"); got != len(matrixCalls) {
				t.Errorf("%d rows of %s, want %d:\n%s", got, name, len(matrixCalls), out.String())
			}
		}
		if _, err := exec.LookPath("taskset"); err != nil {
			break
		}
		if err := p.pinTo("0", dir); err != nil {
			t.Fatal(err)
		}
	}
}

func variantNames() (names []string) {
	for _, v := range variants() {
		names = append(names, v.name())
	}
	return names
}

// TestAgainst compares a build with itself.
func TestAgainst(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the real binary")
	}
	binary := testbin.Build(t)
	p := programs{binary: binary, old: binary, machine: "all CPUs"}
	var out strings.Builder
	if err := runAgainst(t.Context(), &out, p, 1, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"| earlier build | refresh |", "| this one | session |"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the table lacks the row %q:\n%s", row, out.String())
		}
	}
}

// TestPlotIsSVG checks that a plot is well-formed XML with a line for each series, and that its axes map values to
// pixels inside the picture.
func TestPlotIsSVG(t *testing.T) {
	p := &plot{title: "a < b", x: "x", y: "y", logX: true, logY: true, lines: []series{
		{"one", []point{{1, 0.3}, {256, 2000}}}, {"two & more", []point{{2, 1}, {4, 1}}}}}
	lines := 0
	decoder := xml.NewDecoder(bytes.NewReader(p.svg()))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != len(p.lines) {
		t.Errorf("the plot has %d lines, want %d", lines, len(p.lines))
	}
	x := newAxis([]float64{1, 256}, true, 2, left, width-right)
	y := newAxis([]float64{0, 41_000}, false, 10, height-bottom, top)
	if x.at(1) != left || x.at(256) != width-right || y.at(0) != height-bottom || y.at(50_000) != top {
		t.Errorf("the axes map to %v %v %v %v", x.at(1), x.at(256), y.at(0), y.at(50_000))
	}
}
