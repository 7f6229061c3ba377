package client_test

import (
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// BenchmarkVerifyToken measures one known live token with 8 goroutines for each processor: in memory, by the public
// keys alone, and by asking Pawl over HTTP.
func BenchmarkVerifyToken(b *testing.B) {
	p := pawltest.New(b, pawltest.WithAlgorithm("ES256"), withClock(time.Now))
	c := p.Client(client.WithAPIKey(p.AdminAPIKey))
	got, err := c.Login(b.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		b.Fatal(err)
	}
	v := client.NewVerifier(c, client.VerifierConfig{})
	defer v.Close()
	if err := v.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	keys := client.NewJWKS(c, client.JWKSConfig{})
	asks := p.Client(client.WithBearer(got.Token))
	for name, verify := range map[string]func() error{
		"feed": func() error { _, err := v.Verify(b.Context(), got.Token); return err },
		"keys": func() error { _, err := keys.Verify(b.Context(), got.Token); return err },
		"ask":  func() error { _, err := asks.Session(b.Context()); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := verify(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
