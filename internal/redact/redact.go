// Package redact keeps secrets out of the log, the audit, the traces and the pages: a client may send an API key or a
// token in a field for another text by mistake.
package redact

import "strings"

// MaxWord is how many letters, digits and . _ - in a row are no secret for sure. An id is shorter, such as a UUID (36)
// or a SHA-1 in hexadecimal (40). API keys (53) and tokens (at least 68) are longer, also if a part is cut off.
const MaxWord = 40

// LongWords replaces each word of more than MaxWord letters, digits and . _ - by an asterisk.
func LongWords(text string) string {
	start, end := longWord(text)
	if end == 0 {
		return text
	}
	var b strings.Builder
	for ; end > 0; start, end = longWord(text) {
		b.WriteString(text[:start])
		b.WriteByte('*')
		text = text[end:]
	}
	b.WriteString(text)
	return b.String()
}

// longWord returns where the first word of more than MaxWord characters is, or 0, 0. It looks at every 41st byte only,
// because such a word has one of them.
func longWord(text string) (start, end int) {
	for i := MaxWord; i < len(text); i += MaxWord + 1 {
		start, end = i, i
		for start > 0 && inWord(text[start-1]) {
			start--
		}
		for end < len(text) && inWord(text[end]) {
			end++
		}
		if end-start > MaxWord {
			return start, end
		}
	}
	return 0, 0
}

// IsID reports whether a text is one word of 1 to MaxWord letters, digits and . _ -, which is safe in a log and in a
// header.
func IsID(text string) bool {
	if text == "" || len(text) > MaxWord {
		return false
	}
	for _, ch := range []byte(text) {
		if !inWord(ch) {
			return false
		}
	}
	return true
}

func inWord(ch byte) bool {
	letter := (ch|0x20) >= 'a' && (ch|0x20) <= 'z'
	return letter || ch >= '0' && ch <= '9' || ch == '.' || ch == '_' || ch == '-'
}
