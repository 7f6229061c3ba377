package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/api"
)

// floorMode is the argument that makes this program the floor: the least that a server on net/http does. The floor
// reads the body of each request and returns the headers and the body that Pawl returned to one such call. It runs as a
// process of its own, as Pawl does.
const floorMode = "serve-the-floor"

// recorded is a response of Pawl.
type recorded struct {
	Header http.Header
	Body   []byte
}

// record sends one call of each kind to a Pawl, and returns the responses by path.
func record(ctx context.Context, s *server) (map[string]recorded, error) {
	responses := map[string]recorded{}
	token := ""
	const introspect = "/oauth2/introspect"
	for _, path := range []string{"/v2/auth/login", "/v2/auth/session", "/v2/auth/refresh"} {
		body, err := json.Marshal(map[string]string{"login": s.login, "password": s.password, "token": token})
		if err != nil {
			return nil, err
		}
		header := http.Header{"Content-Type": {"application/json"}}
		if token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
		got, err := post(ctx, s.url+path, header, body)
		if err != nil {
			return nil, err
		}
		var envelope api.Envelope[api.Token]
		if err := json.Unmarshal(got.Body, &envelope); err != nil {
			return nil, err
		}
		if envelope.Data.Token != "" {
			token = envelope.Data.Token
		}
		responses[path] = got
	}
	form := []byte("token=" + token)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Api-Key": {s.apiKey}}
	got, err := post(ctx, s.url+introspect, header, form)
	responses[introspect] = got
	return responses, err
}

// post returns a successful response without the headers that net/http sets itself.
func post(ctx context.Context, url string, header http.Header, body []byte) (recorded, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return recorded{}, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return recorded{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return recorded{}, fmt.Errorf("%s returned %d, %v", url, resp.StatusCode, err)
	}
	resp.Header.Del("Date")
	resp.Header.Del("Content-Length")
	return recorded{resp.Header, text}, nil
}

// startFloor starts this program again as the floor, with pin in front of the command.
func startFloor(ctx context.Context, pawl *server, pin ...string) (*server, error) {
	responses, err := record(ctx, pawl)
	if err != nil {
		return nil, fmt.Errorf("record responses for the floor: %w", err)
	}
	input, err := json.Marshal(responses)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := append(slices.Clone(pin), self, floorMode)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() } // an error means that it has exited
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("the floor did not start: %w", err)
	}
	return &server{
		name: floorName, url: strings.TrimSpace(url), login: pawl.login, password: pawl.password,
		pid: cmd.Process.Pid, stop: stop,
	}, nil
}

// serveFloor prints its address, and serves the recorded responses until it is killed.
func serveFloor(in io.Reader, out io.Writer) error {
	var responses map[string]recorded
	if err := json.NewDecoder(in).Decode(&responses); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := responses[r.URL.Path]
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		h := w.Header()
		for name, values := range response.Header {
			h[name] = values
		}
		_, _ = w.Write(response.Body) // an error means that the client has disconnected
	}))
}
