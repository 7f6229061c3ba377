//go:build linux

package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestChart lints and renders the chart, runs its suites, and compares deploy/kubernetes to it.
func TestChart(t *testing.T) {
	testbin.InModule(t, "helm", "test", "./...")
}

// manifest is the part of a Kubernetes object that these tests need.
type manifest struct {
	Kind string
	Spec struct{ Template struct{ Spec podSpec } }
}

type podSpec struct {
	TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsUser uint32 `yaml:"runAsUser"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []struct {
		Name   string
		Secret struct{ Items []struct{ Key, Path string } }
	}
}

type container struct {
	Args []string
	Env  []struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct{ Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe   probe `yaml:"startupProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	Lifecycle      struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// readManifests returns the objects of a file in deploy/kubernetes by their kinds.
func readManifests(t *testing.T, file string) map[string]manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "deploy/kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]manifest{}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects[m.Kind] = m
	}
}

// TestKubernetes runs the containers of deploy/kubernetes as a kubelet would, in the files of the image.
func TestKubernetes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	secret := map[string]string{"master-key": seal.NewKey(), "admin-password": "Chosen-by-the-operator-1"}
	t.Run("sqlite", func(t *testing.T) {
		pod := readManifests(t, "sqlite.yaml")["StatefulSet"].Spec.Template.Spec
		if len(pod.InitContainers) != 1 {
			t.Fatal("nothing creates the store before the server starts")
		}
		runPods(t, pod, pod.InitContainers[0], pod, secret)
	})
	t.Run("postgres", func(t *testing.T) {
		cluster := pgtest.Start(t)
		// The server of the tests trusts every password.
		secret["store"] = strings.Replace(cluster.DSN(cluster.Database(t)), "pawl@", "pawl:of-the-database@", 1)
		objects := readManifests(t, "postgres.yaml")
		job := objects["Job"].Spec.Template.Spec
		runPods(t, job, job.Containers[0], objects["Deployment"].Spec.Template.Spec, secret)
	})
}

// runPods runs the container that creates the store, twice, and then the server. Then it stops the server.
func runPods(t *testing.T, initPod podSpec, init container, pod podSpec, secret map[string]string) {
	t.Helper()
	img := readImage(t)
	if pod.SecurityContext.RunAsUser != img.uid || initPod.SecurityContext.RunAsUser != img.uid {
		t.Errorf("the pods do not run as the user %d of the image", img.uid)
	}
	mount(t, img, initPod, init, secret)
	for _, want := range []string{"The password is the one in", "Nothing to do"} {
		out, err := containerCommand(t, img, init, secret).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v: %v, %s", init.Args, err, out)
		}
		for _, value := range secret {
			if strings.Contains(string(out), value) || strings.Contains(string(out), "of-the-database") {
				t.Errorf("%v prints a secret: %s", init.Args, out)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(img.root, "etc/pawl")); err != nil {
		t.Fatal(err)
	}
	mount(t, img, pod, pod.Containers[0], secret)
	server := start(t, containerCommand(t, img, pod.Containers[0], secret))
	ports := map[string]string{"http": server.URL, "metrics": strings.TrimSuffix(server.Metrics, "/metrics")}
	for _, p := range []probe{
		pod.Containers[0].StartupProbe, pod.Containers[0].LivenessProbe, pod.Containers[0].ReadinessProbe,
	} {
		if status := statusOf(t, ports[p.HTTPGet.Port]+p.HTTPGet.Path); status != http.StatusOK {
			t.Errorf("the probe %+v: %d", p, status)
		}
	}
	if status := statusOf(t, server.URL+"/metrics"); status == http.StatusOK {
		t.Error("clients can read the metrics")
	}
	signInAndRefresh(t, server.URL, secret["admin-password"])
	left := pod.TerminationGracePeriodSeconds - pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds
	kill := time.AfterFunc(time.Duration(left)*time.Second, func() { _ = server.Process.Kill() })
	defer kill.Stop()
	drain(t, server)
}

// mount puts the secrets into the folders that a container mounts. It takes the rights to /data away if the container
// has no such volume.
func mount(t *testing.T, img *image, pod podSpec, c container, secret map[string]string) {
	t.Helper()
	hasData := false
	for _, at := range c.VolumeMounts {
		folder := filepath.Join(img.root, at.MountPath)
		hasData = hasData || at.MountPath == "/data"
		for _, volume := range pod.Volumes {
			if volume.Name != at.Name || len(volume.Secret.Items) == 0 {
				continue
			}
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, item := range volume.Secret.Items {
				path := filepath.Join(folder, item.Path)
				write(t, path, secret[item.Key])
				if err := errors.Join(os.Chown(path, 0, int(img.gid)), os.Chmod(path, 0o440)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if !hasData {
		if err := os.Chown(filepath.Join(img.root, "data"), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// containerCommand returns the command of a container, which listens on free ports instead of its own.
func containerCommand(t *testing.T, img *image, c container, secret map[string]string) *exec.Cmd {
	t.Helper()
	cmd := img.command(append(slices.Clone(img.entry), c.Args...)...)
	cmd.Env = slices.Clone(img.env)
	for _, variable := range c.Env {
		value := variable.Value
		if key := variable.ValueFrom.SecretKeyRef.Key; key != "" {
			value = secret[key]
		}
		if strings.HasSuffix(variable.Name, "ADDR") {
			_, number, err := net.SplitHostPort(value)
			listed := false
			for _, port := range c.Ports {
				listed = listed || strconv.Itoa(port.ContainerPort) == number
			}
			if err != nil || !listed {
				t.Errorf("%s=%s is no port of the container", variable.Name, value)
			}
			value = "127.0.0.1:0"
		}
		cmd.Env = append(cmd.Env, variable.Name+"="+value)
	}
	return cmd
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestChartSettings compares the settings in the schema of the chart, and the variables that the chart sets
// itself, with those of the binary.
func TestChartSettings(t *testing.T) {
	out, err := exec.Command(testbin.Build(t), "config", "--json").Output()
	var settings []struct{ Name string }
	if err != nil || json.Unmarshal(out, &settings) != nil || len(settings) < 30 {
		t.Fatalf("config: %v %s", err, stderrOf(err))
	}
	chart := filepath.Join(top, "deploy/helm/pawl")
	text, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	var schema struct {
		Properties struct {
			Settings struct{ Properties map[string]any }
		}
	}
	if err != nil || json.Unmarshal(text, &schema) != nil {
		t.Fatal(err)
	}
	helpers, err := os.ReadFile(filepath.Join(chart, "templates/_helpers.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	free := schema.Properties.Settings.Properties
	for _, setting := range settings {
		variable := "PAWL_" + strings.ToUpper(strings.ReplaceAll(setting.Name, "-", "_"))
		set := strings.Contains(string(helpers), "name: "+variable+"\n") ||
			strings.Contains(string(helpers), "name: "+variable+",")
		_, permitted := free[setting.Name]
		if set == permitted && setting.Name != "log-file" { // a container logs to standard error
			t.Errorf("%s: the chart sets it: %v, and its schema permits it: %v", setting.Name, set, permitted)
		}
		delete(free, setting.Name)
	}
	if len(free) > 0 {
		t.Errorf("the schema permits settings that do not exist: %v", free)
	}
}
