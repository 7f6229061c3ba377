package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuTime is how long a process has run on a CPU, where that can be read.
type cpuTime struct {
	time  time.Duration
	known bool
}

func (c cpuTime) minus(before cpuTime) cpuTime {
	return cpuTime{c.time - before.time, c.known && before.known}
}

// cpuOf reads user and system time of a process from /proc (proc(5), stat).
func cpuOf(pid int) cpuTime {
	const tick = time.Second / 100 // USER_HZ: what Linux tells programs, on every machine that Go runs on
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid <= 0 || err != nil {
		return cpuTime{}
	}
	_, after, ok := strings.Cut(string(text), ") ") // the name of the program may have spaces
	fields := strings.Fields(after)
	if !ok || len(fields) < 13 {
		return cpuTime{}
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return cpuTime{time.Duration(user+system) * tick, err1 == nil && err2 == nil}
}
