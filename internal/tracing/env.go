package tracing

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// checks are the variables whose invalid values the library would ignore, or log in a format of its own with the
// value.
var checks = []struct {
	name  string
	form  string // completes "NAME must be"
	valid func(string) bool
}{
	{name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", form: formURL, valid: isURL},
	{name: "OTEL_EXPORTER_OTLP_ENDPOINT", form: formURL, valid: isURL},
	{name: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", form: formHTTP, valid: isHTTP},
	{name: "OTEL_EXPORTER_OTLP_PROTOCOL", form: formHTTP, valid: isHTTP},
	{name: "OTEL_EXPORTER_OTLP_TRACES_HEADERS", form: formHeaders, valid: isHeaders},
	{name: "OTEL_EXPORTER_OTLP_HEADERS", form: formHeaders, valid: isHeaders},
	{name: "OTEL_TRACES_SAMPLER", form: "one of " + strings.Join(samplers, ", "), valid: isSampler},
	{name: "OTEL_TRACES_SAMPLER_ARG", form: "a number from 0 to 1", valid: isRatio},
}

const (
	formURL     = "a URL, such as http://collector:4318"
	formHTTP    = "http/protobuf: use the collector's port for HTTP, usually 4318"
	formHeaders = "name=value,name=value, each value percent-encoded"
)

var samplers = []string{
	"always_on", "always_off", "traceidratio",
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

func isSampler(s string) bool { return slices.Contains(samplers, s) }

func isRatio(s string) bool {
	ratio, err := strconv.ParseFloat(s, 64)
	return err == nil && ratio >= 0 && ratio <= 1
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func isHTTP(s string) bool { return s == "http/protobuf" }

func isHeaders(s string) bool {
	for pair := range strings.SplitSeq(s, ",") {
		name, value, found := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(value)
		if !found || err != nil {
			return false
		}
		if !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
			return false
		}
		if !httpguts.ValidHeaderFieldValue(strings.TrimSpace(decoded)) {
			return false
		}
	}
	return true
}

// Wanted reports whether the variables of the OpenTelemetry specification turn traces on: OTEL_TRACES_EXPORTER is otlp,
// or it is not set and there is an endpoint. OTEL_SDK_DISABLED turns them off. The error names a variable with an
// unsupported value.
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
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, but is %q", exporter)
	}
	for _, check := range checks {
		if value := getenv(check.name); value != "" && !check.valid(value) {
			return false, fmt.Errorf("%s must be %s", check.name, check.form)
		}
	}
	return true, nil
}

// Endpoint returns the endpoint configured by the variables, or "" for the specification's default,
// http://localhost:4318.
func Endpoint(getenv func(string) string) string {
	if endpoint := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); endpoint != "" {
		return endpoint
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
}
