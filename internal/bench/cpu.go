package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuTime is the CPU time that a process has used. It is known only on systems with /proc.
type cpuTime struct {
	time  time.Duration
	known bool
}

func (c cpuTime) minus(before cpuTime) cpuTime {
	return cpuTime{c.time - before.time, c.known && before.known}
}

// cpuOf reads the user and system time of a process from /proc (proc(5), stat).
func cpuOf(pid int) cpuTime {
	const tick = time.Second / 100 // USER_HZ; Linux reports 100 on all machines supported by Go
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid <= 0 || err != nil {
		return cpuTime{}
	}
	_, after, ok := strings.Cut(string(text), ") ") // the program's name may contain spaces
	fields := strings.Fields(after)
	if !ok || len(fields) < 13 {
		return cpuTime{}
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return cpuTime{time.Duration(user+system) * tick, err1 == nil && err2 == nil}
}
