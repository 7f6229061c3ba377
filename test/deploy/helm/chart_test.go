// Package helm_test checks the chart in deploy/helm/pawl: with the linter and the renderer of Helm, with the suites in
// its folder tests, and against the types of Kubernetes. It also renders deploy/kubernetes.
package helm_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/helm-unittest/helm-unittest/pkg/unittest"
	"github.com/helm-unittest/helm-unittest/pkg/unittest/printer"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

const (
	chartFolder = "../../../deploy/helm/pawl"
	plainFolder = "../../../deploy/kubernetes"
)

var update = flag.Bool("update", false, "write deploy/kubernetes")

// cases are values of the chart, as YAML, by name. The first two are those of deploy/kubernetes.
var cases = map[string]string{
	"sqlite":   read("ci/sqlite-values.yaml"),
	"postgres": read("ci/postgres-values.yaml"),
	"sqlite with everything": all + `
store: sqlite
persistence: {size: 100Gi, storageClass: fast}
secret: {masterKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, adminPassword: Long-enough-1}
`,
	"postgres with everything": all + `
store: postgres
replicas: 5
maxUnavailable: 40%
topologySpreadConstraints: [{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]
secret:
  store: postgres://pawl:secret@db1,db2/pawl?target_session_attrs=read-write
  masterKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  adminPassword: Long-enough-1
`,
}

// all sets every value that both stores have.
const all = `
fullnameOverride: sessions
image: {repository: registry.example.com/pawl, tag: v1, pullPolicy: Always}
imagePullSecrets: [{name: registry}]
admin: {login: admin@example.com}
settings: {token-life: 15m, max-in-flight: 1000000, access-log: true, trusted-proxy: [10.0.0.0/8, 192.0.2.1/32]}
env: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318"}]
extraVolumes: [{name: issuers, configMap: {name: issuers}}]
extraVolumeMounts: [{name: issuers, mountPath: /etc/pawl/issuers}]
tls: {secretName: certificate}
service: {type: LoadBalancer, port: 443, annotations: {example.com/a: b}}
preStopSeconds: 20
resources: {limits: {memory: 1Gi}}
podAnnotations: {example.com/c: d}
podLabels: {team: identity}
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {podAntiAffinity: {}}
priorityClassName: high
serviceAccountName: pawl
networkPolicy: {clients: [{podSelector: {}}], metrics: [{podSelector: {matchLabels: {app: prometheus}}}]}
serviceMonitor: {enabled: true, interval: 15s, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
`

// read returns the text of a file of the chart.
func read(file string) string {
	text, err := os.ReadFile(filepath.Join(chartFolder, file))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// parse returns values of the chart.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render returns the manifests of the chart in the order in which Helm installs them. It is helm template, which
// includes a check of the values by values.schema.json.
func render(t *testing.T, values map[string]any) []releaseutil.Manifest {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: "pawl", Namespace: "pawl", Revision: 1, IsInstall: true}
	prepared, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(chart, prepared)
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "pawl/templates/NOTES.txt")
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		t.Fatal(err)
	}
	var before []releaseutil.Manifest
	for _, hook := range hooks {
		before = append(before, releaseutil.Manifest{Name: hook.Path, Content: hook.Manifest})
	}
	return append(before, manifests...)
}

// TestLint is helm lint --strict.
func TestLint(t *testing.T) {
	for name, text := range cases {
		linter := lint.All(chartFolder, parse(t, text), "pawl", true)
		for _, message := range linter.Messages {
			if message.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, message)
			}
		}
	}
}

// TestSuites runs the suites of the chart with helm-unittest.
func TestSuites(t *testing.T) {
	var output strings.Builder
	plain := false
	runner := unittest.TestRunner{
		Printer: printer.NewPrinter(&output, &plain), Strict: true, TestFiles: []string{"tests/*_test.yaml"},
	}
	passed := runner.RunV3([]string{chartFolder})
	if !passed || strings.Contains(output.String(), "Test Suites: 0 passed") {
		t.Error(output.String())
	}
}

// TestStrictTypes renders each case, and checks each manifest against the type of its kind.
func TestStrictTypes(t *testing.T) {
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			kinds := map[string]int{}
			for _, manifest := range render(t, parse(t, text)) {
				kinds[check(t, manifest.Content)]++
			}
			if len(kinds) < 3 {
				t.Errorf("there are only %v", kinds)
			}
		})
	}
}

// TestPlainManifests compares deploy/kubernetes to the chart.
func TestPlainManifests(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		var text strings.Builder
		text.WriteString("# Rendered from deploy/helm/pawl and its ci/" + name + "-values.yaml. Do not edit; run\n" +
			"# go test . -update in test/deploy/helm. How to use it: docs/operations.md, \"Kubernetes\".\n")
		for _, manifest := range render(t, parse(t, cases[name])) {
			text.WriteString("---\n")
			for line := range strings.Lines(strings.TrimSpace(manifest.Content) + "\n") {
				word := strings.TrimSpace(line)
				if !strings.HasPrefix(word, "helm.sh/chart:") && word != "app.kubernetes.io/managed-by: Helm" {
					text.WriteString(line)
				}
			}
		}
		path := filepath.Join(plainFolder, name+".yaml")
		if *update {
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if current, err := os.ReadFile(path); err != nil || string(current) != text.String() {
			t.Errorf("%s is not what the chart renders; run go test . -update in test/deploy/helm (%v)", path, err)
		}
	}
}

// TestRules checks that the rules of the chart are those of deploy/prometheus.
func TestRules(t *testing.T) {
	rules, err := os.ReadFile("../../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, string(rules))
	for _, manifest := range render(t, parse(t, cases["postgres with everything"])) {
		got := parse(t, manifest.Content)
		if got["kind"] == "PrometheusRule" {
			if wantText, gotText := asText(t, want), asText(t, got["spec"]); gotText != wantText {
				t.Errorf("the rules are %s, want %s", gotText, wantText)
			}
			return
		}
	}
	t.Error("there is no PrometheusRule")
}

func asText(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryValueIsUsed checks that the cases with everything set each value of values.yaml.
func TestEveryValueIsUsed(t *testing.T) {
	set := map[string]bool{}
	for _, text := range cases {
		for _, path := range paths("", parse(t, text)) {
			set[path] = true
		}
	}
	for _, path := range paths("", parse(t, read("values.yaml"))) {
		if !set[path] && path != "secret.existing" && path != "networkPolicy.enabled" {
			t.Errorf("no case sets %s", path)
		}
	}
}

// paths returns the paths of the values that are no maps, except that an empty map counts.
func paths(prefix string, values map[string]any) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		inner, ok := values[name].(map[string]any)
		deep := name == "admin" || name == "image" || name == "secret" || name == "tls" || name == "service" ||
			name == "persistence" || name == "networkPolicy" || name == "serviceMonitor" || name == "prometheusRule"
		if ok && deep && prefix == "" {
			list = append(list, paths(name+".", inner)...)
		} else {
			list = append(list, prefix+name)
		}
	}
	return list
}
