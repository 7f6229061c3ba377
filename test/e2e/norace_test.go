//go:build !race

package e2e_test

// raceDetector is whether the tests were built with -race.
const raceDetector = false
