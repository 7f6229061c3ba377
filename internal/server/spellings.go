package server

import (
	"net/http"
	"net/url"
	"strings"
)

// spellings has the paths of the server. A client may write a path in upper or lower case, and with a slash at its end,
// because the vendor's server accepts both.
type spellings struct {
	prefix   string          // the path of the public URL, for gateways that do not remove it; or ""
	exact    map[string]bool // the paths without a variable
	prefixes []string        // the paths with a variable at the end, up to the variable
	tree     string          // a path with other paths below it that are not in spellings; or ""
}

// add adds a path, or a pattern with a variable at its end.
func (s *spellings) add(pattern string) {
	if prefix, _, variable := strings.Cut(pattern, "{"); variable {
		s.prefixes = append(s.prefixes, prefix)
		return
	}
	if s.exact == nil {
		s.exact = map[string]bool{}
	}
	s.exact[pattern] = true
}

// canonical returns a request with the path as it was added. It returns r itself if the path has that spelling already,
// or matches no path. It does not change a path with unusual percent-encoding.
func (s *spellings) canonical(r *http.Request) *http.Request {
	path := r.URL.Path
	if s.exact[path] || r.URL.RawPath != "" {
		return r
	}
	if isForwardAuth(path) {
		return r
	}
	found := s.find(path)
	if found == "" && s.prefix != "" {
		found = s.findBelowPrefix(path)
	}
	if found == "" || found == path {
		return r
	}
	changed := *r // a handler must not change its request
	changed.URL = &url.URL{}
	*changed.URL = *r.URL
	changed.URL.Path = found
	return &changed
}

// find returns the canonical spelling of a path, or "" if there is no such path.
func (s *spellings) find(path string) string {
	trimmed := strings.TrimSuffix(path, "/")
	lower := lowerASCII(trimmed)
	if lower == forwardPath && trimmed != path {
		return "" // a gateway has appended the path of its request
	}
	if s.exact[lower] {
		return lower
	}
	return s.withVariable(trimmed, lower)
}

// findBelowPrefix returns the canonical spelling of a path below the prefix, or "" if there is no such path.
func (s *spellings) findBelowPrefix(path string) string {
	rest, ok := strings.CutPrefix(path, s.prefix)
	switch {
	case !ok:
		return ""
	case rest == "" || rest == "/":
		return "/"
	case isForwardAuth(rest), s.tree != "" && strings.HasPrefix(rest, s.tree+"/"):
		return rest
	}
	return s.find(rest)
}

// withVariable returns the canonical spelling of a path with a variable at its end, or "" if there is no such path. The
// variable keeps its case, because the case of a session id matters.
func (s *spellings) withVariable(path, lower string) string {
	end := strings.LastIndexByte(path, '/') + 1
	for _, prefix := range s.prefixes {
		if lower[:end] == prefix && end < len(path) {
			return prefix + path[end:]
		}
	}
	return ""
}

// lowerASCII returns a text in lower case, without folding other characters to ASCII letters, as strings.ToLower does.
func lowerASCII(text string) string {
	if !strings.ContainsAny(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return text
	}
	lower := []byte(text)
	for i, ch := range lower {
		if ch >= 'A' && ch <= 'Z' {
			lower[i] = ch + 'a' - 'A'
		}
	}
	return string(lower)
}
