package tracing

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// checks are the variables whose values the library would pass over in
// silence, or with a line that is not of our log and quotes them.
var checks = []struct {
	name string
	want string
	good func(string) bool
}{
	{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", wantURL, isURL},
	{"OTEL_EXPORTER_OTLP_ENDPOINT", wantURL, isURL},
	{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", wantHTTP, isHTTP},
	{"OTEL_EXPORTER_OTLP_PROTOCOL", wantHTTP, isHTTP},
	{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", wantHeaders, isHeaders},
	{"OTEL_EXPORTER_OTLP_HEADERS", wantHeaders, isHeaders},
	{"OTEL_TRACES_SAMPLER", "one of " + strings.Join(samplers, ", "), func(s string) bool { return slices.Contains(samplers, s) }},
	{"OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", func(s string) bool {
		ratio, err := strconv.ParseFloat(s, 64)
		return err == nil && ratio >= 0 && ratio <= 1
	}},
}

const (
	wantURL     = "a URL, such as http://collector:4318"
	wantHTTP    = "http/protobuf: give the collector's port for HTTP, mostly 4318"
	wantHeaders = "name=value,name=value, each value percent-encoded"
)

var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func isHTTP(s string) bool { return s == "http/protobuf" }

func isHeaders(s string) bool {
	for pair := range strings.SplitSeq(s, ",") {
		name, value, found := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(value)
		if !found || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) || !httpguts.ValidHeaderFieldValue(strings.TrimSpace(decoded)) {
			return false
		}
	}
	return true
}

// Wanted reports whether the variables of the OpenTelemetry specification ask
// for traces: OTEL_TRACES_EXPORTER is otlp, or is not set and there is an
// endpoint. OTEL_SDK_DISABLED turns all off. The error names a variable whose
// value is not one that Pawl can do.
func Wanted(getenv func(string) string) (bool, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if Endpoint(getenv) == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, and is %q", exporter)
	}
	for _, check := range checks {
		if value := getenv(check.name); value != "" && !check.good(value) {
			return false, fmt.Errorf("%s must be %s", check.name, check.want)
		}
	}
	return true, nil
}

// Endpoint returns where spans go, as the variables say it; "" is the
// specification's default, http://localhost:4318.
func Endpoint(getenv func(string) string) string {
	if endpoint := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); endpoint != "" {
		return endpoint
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
}
