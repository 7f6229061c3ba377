package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

const day = 24 * time.Hour

// durations maps the values of flags to durations.
var durations = kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(
	func(c *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := c.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := parseDuration(text)
		target.SetInt(int64(d))
		return err
	}))

var (
	daysAndWeeks = regexp.MustCompile(`(\d+(?:\.\d+)?)([dw])`)
	onlyNumber   = regexp.MustCompile(`^[0-9.]+$`)
)

// parseDuration parses a duration such as 90s, 1h30m, 30d or 2w. A day has 24 hours. The error continues a sentence
// whose subject is the setting.
func parseDuration(text string) (time.Duration, error) {
	if text != "0" && onlyNumber.MatchString(text) {
		return 0, fmt.Errorf("must have a unit; write %[1]ss, %[1]sm, %[1]sh, %[1]sd or %[1]sw", text)
	}
	hours := daysAndWeeks.ReplaceAllStringFunc(text, func(part string) string {
		unit := day
		if strings.HasSuffix(part, "w") {
			unit = 7 * day
		}
		n, err := strconv.ParseFloat(part[:len(part)-1], 64)
		if err != nil {
			return part // out of range
		}
		return strconv.FormatFloat(n*unit.Hours(), 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(hours)
	if err != nil {
		return 0, errors.New("must be a duration such as 90s, 15m, 12h, 30d or 2w")
	}
	return d, nil
}

// shortDuration writes a duration without units that are zero: 15m for 15m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
