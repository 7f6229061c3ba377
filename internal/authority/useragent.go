package authority

import (
	"strings"
	"unicode"

	"github.com/pawlauth/pawl/internal/redact"
)

const maxUserAgent = 256 // bytes

// ShortUserAgent returns the beginning of a User-Agent, because a client may send any length. It drops what is not
// printable, because a terminal that shows a log or a list would take it for commands, and what may be a secret.
func ShortUserAgent(agent string) string {
	agent = redact.LongWords(agent) // before the cut, which would leave the beginning of a secret
	agent = agent[:min(len(agent), maxUserAgent)]
	for i := range len(agent) {
		if agent[i] < ' ' || agent[i] > '~' {
			return strings.Map(dropUnprintable, strings.ToValidUTF8(agent, ""))
		}
	}
	return agent
}

func dropUnprintable(r rune) rune {
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}
