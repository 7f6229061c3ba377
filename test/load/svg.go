package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// plot is a diagram of lines. The marks of a logarithmic axis are powers of two (x) or of ten (y).
type plot struct {
	title, x, y string
	logX, logY  bool
	lines       []series
}

type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// The sizes of the picture in pixels.
const (
	width, height = 760, 420
	left, right   = 70, 190
	top, bottom   = 40, 50
)

// colours are distinguishable for colour-blind readers too.
var colours = []string{"#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44"}

// axis maps values to pixels.
type axis struct {
	low, high, from, to float64
	log                 bool
	marks               []float64
}

func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v = math.Log(v)
		low, high = math.Log(low), math.Log(high)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

func newAxis(values []float64, log bool, base, from, to float64) axis {
	a := axis{from: from, to: to, log: log}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if log {
		first := math.Floor(math.Log(low)/math.Log(base) + 1e-9)
		last := math.Ceil(math.Log(high)/math.Log(base) - 1e-9)
		for e := first; e <= max(last, first+1); e++ {
			a.marks = append(a.marks, math.Pow(base, e))
		}
	} else {
		step := roundStep(high / 5)
		for n := 0.0; n*step < high+step; n++ {
			a.marks = append(a.marks, n*step)
		}
	}
	a.low, a.high = a.marks[0], a.marks[len(a.marks)-1]
	return a
}

// roundStep returns the smallest number from v on that is 1, 2 or 5 times a power of ten.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*power {
			return n * power
		}
	}
	return 10 * power
}

// picture is a buffer for an SVG document.
type picture struct{ bytes.Buffer }

func (out *picture) label(x, y float64, anchor, text string) {
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}

func (out *picture) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(out, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x1, y1, x2, y2)
}

func (p *plot) svg() []byte {
	var xs, ys []float64
	for _, line := range p.lines {
		for _, at := range line.points {
			xs, ys = append(xs, at.x), append(ys, at.y)
		}
	}
	x := newAxis(xs, p.logX, 2, left, width-right)
	y := newAxis(ys, p.logY, 10, height-bottom, top)
	out := new(picture)
	const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`
	fmt.Fprintf(out, head+"\n", width, height)
	fmt.Fprintf(out, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	p.drawAxes(out, x, y)
	for i, line := range p.lines {
		line.draw(out, x, y, i)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (p *plot) drawAxes(out *picture, x, y axis) {
	out.label((x.from+x.to)/2, 20, "middle", p.title)
	out.label((x.from+x.to)/2, height-12, "middle", p.x)
	out.label(x.from-60, top-14, "start", p.y)
	for _, mark := range x.marks {
		out.rule(x.at(mark), y.from, x.at(mark), y.to)
		out.label(x.at(mark), y.from+18, "middle", fmt.Sprintf("%g", mark))
	}
	for _, mark := range y.marks {
		out.rule(x.from, y.at(mark), x.to, y.at(mark))
		out.label(x.from-6, y.at(mark)+4, "end", fmt.Sprintf("%g", mark))
	}
}

// draw draws the i-th line, and its name next to the diagram.
func (s series) draw(out *picture, x, y axis, i int) {
	colour := colours[i%len(colours)]
	fmt.Fprintf(out, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
	for _, at := range s.points {
		fmt.Fprintf(out, "%.1f,%.1f ", x.at(at.x), y.at(at.y))
	}
	legend := float64(top + 20*i)
	const mark = `<rect x="%.1f" y="%.1f" width="14" height="4" fill="%s"/>`
	fmt.Fprintf(out, `"/>`+"\n"+mark+"\n", x.to+14, legend-6, colour)
	out.label(x.to+34, legend, "start", s.name)
}
