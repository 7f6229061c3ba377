package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// t returns a text of english.go. If the first argument is the number 1 and the text has a form for one, t returns that
// form.
func t(key string, args ...any) string {
	if len(args) > 0 {
		if one, ok := english[key+".one"]; ok && fmt.Sprint(args[0]) == "1" {
			return one
		}
	}
	text, ok := english[key]
	if !ok {
		return key
	}
	if len(args) == 0 || !strings.Contains(text, "%") {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// word returns the name of a level, a status or a scope.
func word(kind string, value fmt.Stringer) string { return t(kind + "." + value.String()) }

// grouped returns a number of 0 or more with a comma between thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func exact(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC") }
func iso(unix int64) string   { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// ago returns how long ago a time was.
func (c *Console) ago(unix int64) string {
	age := c.clock().Unix() - unix
	if age < 5 {
		return t("time.now")
	}
	return t("time.ago", length(age))
}

// until returns how long it is to a time.
func (c *Console) until(unix int64) string {
	left := unix - c.clock().Unix()
	if left <= 0 {
		return t("time.past")
	}
	return t("time.in", length(left))
}

// when returns how long ago a time was, or how long it is to it.
func (c *Console) when(unix int64) string {
	if unix > c.clock().Unix() {
		return c.until(unix)
	}
	return c.ago(unix)
}

// length returns a number of seconds in the largest unit of which there are two or more, so that it never is far off.
func length(seconds int64) string {
	units := []struct {
		seconds int64
		name    string
	}{{seconds: 86400, name: "time.days"}, {seconds: 3600, name: "time.hours"}, {seconds: 60, name: "time.minutes"}}
	for _, unit := range units {
		if seconds >= 2*unit.seconds {
			return t(unit.name, seconds/unit.seconds)
		}
	}
	return t("time.seconds", seconds)
}
