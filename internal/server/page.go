package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// page is a file that the server prepares once: as it is, and compressed. Each form has an ETag of its own, because an
// ETag names exact bytes.
type page struct {
	media         string
	policy        string // Content-Security-Policy, only for HTML
	plain, zipped []byte
	etag          string // without quotes
}

func newPage(media, policy string, text []byte) page {
	var zipped bytes.Buffer
	w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // fails only for an invalid level
	_, _ = w.Write(text)                                       // a bytes.Buffer accepts every write
	_ = w.Close()
	sum := sha256.Sum256(text)
	return page{media: media, policy: policy, plain: text, zipped: zipped.Bytes(), etag: hex.EncodeToString(sum[:12])}
}

// serve answers with the page, or with 304 if the client has it.
func (p page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", p.media)
	h.Set("Cache-Control", "no-cache") // because the next release has other pages
	h.Set("Vary", "Accept-Encoding")
	h["X-Content-Type-Options"] = noSniff
	if p.policy != "" {
		h.Set("Content-Security-Policy", p.policy)
		h.Set("Referrer-Policy", "no-referrer")
	}
	text := p.plain
	h.Set("ETag", `"`+p.etag+`"`)
	if acceptsGzip(r.Header) {
		text = p.zipped
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+p.etag+`-gzip"`)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// acceptsGzip reports whether a client accepts a compressed response (RFC 9110, 12.5.3). A client without the header
// gets the plain form, because curl without --compressed would print compressed bytes.
func acceptsGzip(h http.Header) bool {
	for _, offer := range strings.Split(strings.Join(h["Accept-Encoding"], ","), ",") {
		coding, parameter, _ := strings.Cut(offer, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		weight, isWeight := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q=")
		return !isWeight || strings.Trim(weight, "0.") != ""
	}
	return false
}
