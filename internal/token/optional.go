package token

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file has the optional claims, which most tokens do without. They follow the other claims in a fixed order.

const (
	externalIDMember = `,"externalId":"`
	actorMember      = `,"act":{"sub":"`
	actorEnd         = `"}`
	cookieMember     = `,"cookie":true`
	extraMember      = `,"ext":`
)

// appendOptional appends the optional claims of c, and reports whether they are valid.
func appendOptional(b []byte, c *Claims) ([]byte, bool) {
	if c.ActorID < 0 || !printable(c.ExternalID) || c.Extra != "" && !isObject(c.Extra) {
		return nil, false
	}
	if c.ExternalID != "" {
		b = append(b, externalIDMember...)
		for i := range len(c.ExternalID) {
			if ch := c.ExternalID[i]; ch == '"' || ch == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c.ExternalID[i])
		}
		b = append(b, '"')
	}
	if c.ActorID != 0 {
		b = append(b, actorMember...)
		b = strconv.AppendInt(b, c.ActorID, 10)
		b = append(b, actorEnd...)
	}
	if c.Cookie {
		b = append(b, cookieMember...)
	}
	if c.Extra != "" {
		b = append(b, extraMember...)
		b = append(b, c.Extra...)
	}
	return b, true
}

// optional parses the output of appendOptional.
func (p *reader) optional(c *Claims) {
	if p.has(externalIDMember) {
		p.skip(externalIDMember)
		c.ExternalID = p.quoted()
	}
	if p.has(actorMember) {
		p.skip(actorMember)
		c.ActorID = p.number(1<<63 - 1)
		p.ok = p.ok && c.ActorID > 0
		p.skip(actorEnd)
	}
	if p.has(cookieMember) {
		p.skip(cookieMember)
		c.Cookie = true
	}
	if p.has(extraMember) {
		p.skip(extraMember)
		end := len(p.rest) - 1 // the claim is the last one, so only the brace of the claims follows
		if end < 0 || !isObject(string(p.rest[:end])) {
			p.ok = false
			return
		}
		c.Extra = string(p.rest[:end])
		p.rest = p.rest[end:]
	}
}

func (p *reader) has(text string) bool { return p.ok && bytes.HasPrefix(p.rest, []byte(text)) }

// quoted reads the rest of a string that is not empty, and its closing quote. A backslash stands only before a quote or
// another backslash.
func (p *reader) quoted() string {
	var text strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch ch := p.rest[i]; ch {
		case '"':
			p.rest = p.rest[i+1:]
			p.ok = p.ok && text.Len() > 0 && printable(text.String())
			return text.String()
		case '\\':
			i++
			if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				p.ok = false
				return ""
			}
		}
		text.WriteByte(p.rest[i])
	}
	p.ok = false
	return ""
}

// printable reports whether a string needs no escape in JSON, except for quotes and backslashes.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r < ' ' }) < 0
}

// isObject reports whether a text is one JSON object as far as its brackets and strings show, so that the text cannot
// end the claim early and begin another one. CanonicalExtra has checked the rest.
func isObject(text string) bool {
	if len(text) < 2 || text[0] != '{' || !printable(text) {
		return false
	}
	var open [maxExtraDepth]byte // the closing bracket of each open one
	depth := 0
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; ch {
		case '"':
			if i = endOfString(text, i+1); i < 0 {
				return false
			}
		case '{', '[':
			if depth == maxExtraDepth {
				return false
			}
			open[depth] = ch + 2 // in ASCII, the closing bracket follows two places after the opening one
			depth++
		case '}', ']':
			depth--
			if open[depth] != ch {
				return false
			}
			if depth == 0 {
				return i == len(text)-1
			}
		}
	}
	return false
}

// endOfString returns the index of the quote that closes the string whose text begins at i, or -1.
func endOfString(text string, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}
