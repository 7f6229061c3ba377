package helm_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// This file takes the place of kubeconform, whose schemas are on a server: the types of Kubernetes refuse unknown
// fields too, and they come as a Go module with a checksum.

// newObject returns an empty object of a kind.
var newObject = map[string]func() meta.Object{
	"apps/v1 Deployment":                      func() meta.Object { return &apps.Deployment{} },
	"apps/v1 StatefulSet":                     func() meta.Object { return &apps.StatefulSet{} },
	"batch/v1 Job":                            func() meta.Object { return &batch.Job{} },
	"v1 Secret":                               func() meta.Object { return &core.Secret{} },
	"v1 Service":                              func() meta.Object { return &core.Service{} },
	"networking.k8s.io/v1 NetworkPolicy":      func() meta.Object { return &networking.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":           func() meta.Object { return &policy.PodDisruptionBudget{} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() meta.Object { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() meta.Object { return &monitoring.PrometheusRule{} },
}

// check parses a manifest strictly, and checks its parts against each other. It returns the kind.
func check(t *testing.T, manifest string) string {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict([]byte(manifest))
	if err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	var kind meta.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &kind); err != nil {
		t.Fatal(err)
	}
	name := kind.APIVersion + " " + kind.Kind
	create, ok := newObject[name]
	if !ok {
		t.Fatalf("this test has no type for %s", name)
	}
	object := create()
	strict, err := json.UnmarshalStrict(text, object)
	if err != nil || len(strict) > 0 {
		t.Fatalf("%s: %v, %v", name, err, strict)
	}
	if problems := validation.NameIsDNSSubdomain(object.GetName(), false); len(problems) > 0 {
		t.Errorf("%s: the name %q is invalid: %v", name, object.GetName(), problems)
	}
	switch o := object.(type) {
	case *apps.Deployment:
		checkTemplate(t, o.Spec.Selector, &o.Spec.Template, nil)
	case *apps.StatefulSet:
		checkTemplate(t, o.Spec.Selector, &o.Spec.Template, o.Spec.VolumeClaimTemplates)
		if *o.Spec.Replicas != 1 {
			t.Error("several processes would own the SQLite file")
		}
	case *batch.Job:
		checkTemplate(t, nil, &o.Spec.Template, nil)
	case *core.Service:
		checkPort(t, o.Spec.Ports[0].TargetPort.StrVal)
	case *networking.NetworkPolicy:
		for _, rule := range o.Spec.Ingress {
			checkPort(t, rule.Ports[0].Port.StrVal)
		}
	}
	return kind.Kind
}

// checkPort checks the name of a container's port.
func checkPort(t *testing.T, name string) {
	t.Helper()
	if name != "http" && name != "metrics" {
		t.Errorf("there is no port %q", name)
	}
}

// checkTemplate checks the pods of a workload as the API of Kubernetes does, and against the restricted policy of its
// Pod Security Standards.
func checkTemplate(t *testing.T, selector *meta.LabelSelector, template *core.PodTemplateSpec,
	claims []core.PersistentVolumeClaim) {
	t.Helper()
	if selector != nil {
		matcher, err := meta.LabelSelectorAsSelector(selector)
		if err != nil || !matcher.Matches(labels.Set(template.Labels)) {
			t.Errorf("the selector does not match the pods: %v", err)
		}
	}
	pod := template.Spec
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
	}
	for _, claim := range claims {
		volumes[claim.Name] = true
	}
	security := pod.SecurityContext
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks || *pod.AutomountServiceAccountToken ||
		!*security.RunAsNonRoot || *security.RunAsUser == 0 ||
		security.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod has more rights than it needs")
	}
	unused := maps.Clone(volumes)
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		checkContainer(t, container, volumes)
		for _, mount := range container.VolumeMounts {
			delete(unused, mount.Name)
		}
	}
	if len(unused) > 0 {
		t.Errorf("no container mounts the volumes %v", unused)
	}
	if hook := pod.Containers[0].Lifecycle; hook != nil {
		const drain = 10 // seconds
		if *pod.TerminationGracePeriodSeconds < hook.PreStop.Sleep.Seconds+drain {
			t.Error("a pod is killed before it has drained")
		}
	}
}

// checkContainer checks a container and its references to the volumes and to its own ports.
func checkContainer(t *testing.T, container core.Container, volumes map[string]bool) {
	t.Helper()
	security := container.SecurityContext
	if *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem ||
		!slices.Equal(security.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Error("the container has more rights than it needs")
	}
	for _, mount := range container.VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("there is no volume %s", mount.Name)
		}
	}
	ports := map[string]bool{}
	for _, port := range container.Ports {
		checkPort(t, port.Name)
		ports[port.Name] = true
	}
	for _, probe := range []*core.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if probe != nil && !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("a probe names the port %v", probe.HTTPGet.Port)
		}
	}
	seen := map[string]bool{}
	for _, variable := range container.Env {
		if seen[variable.Name] || (variable.Value == "") == (variable.ValueFrom == nil) {
			t.Error(fmt.Sprint("the variable is empty, or there are two: ", variable.Name))
		}
		seen[variable.Name] = true
	}
}
