// Package load_test measures the real binary over HTTP, beside a bare server
// in the same run: quote the ratio, machines differ.
package load_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/testbin"
)

const connections = 64

// drive lets 64 connections call step b.N times in all, each with its own state.
func drive(b *testing.B, step func(http *http.Client, worker int) error) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	var group sync.WaitGroup
	b.ResetTimer()
	for worker := range connections {
		group.Go(func() {
			for range work {
				if err := step(client, worker); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// exchange posts, and returns the token of an answer that must be a success.
func exchange(client *http.Client, url string, body any) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	resp, err := client.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var envelope api.Envelope[api.Token]
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		return "", err
	}
	if !envelope.Success {
		return "", errors.New(string(envelope.ErrorCode))
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return envelope.Data.Token, err
}

// BenchmarkFloor is a bare net/http server, in this process, that reads the
// same body and writes an answer of the same size.
func BenchmarkFloor(b *testing.B) {
	token := strings.Repeat("x", 430)
	answer, err := json.Marshal(api.Envelope[api.Token]{Success: true, Data: api.Token{Token: token, UserID: 4821}})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	drive(b, func(client *http.Client, _ int) error {
		_, err := exchange(client, server.URL, api.RefreshRequest{Token: token})
		return err
	})
}

// BenchmarkRefresh spends real chains: each refresh the token of the one before.
func BenchmarkRefresh(b *testing.B) {
	dev := testbin.StartDev(b, testbin.Build(b), filepath.Join(b.TempDir(), "data"))
	tokens := make([]string, connections)
	for i := range tokens {
		var err error
		tokens[i], err = exchange(http.DefaultClient, dev.Env["PAWL_URL"]+"/v2/auth/login",
			api.LoginRequest{Login: dev.Env["PAWL_LOGIN"], Password: dev.Env["PAWL_PASSWORD"]})
		if err != nil {
			b.Fatal(err)
		}
	}
	url := dev.Env["PAWL_URL"] + "/v2/auth/refresh"
	drive(b, func(client *http.Client, worker int) (err error) {
		tokens[worker], err = exchange(client, url, api.RefreshRequest{Token: tokens[worker]})
		return err
	})
}
