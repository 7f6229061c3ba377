// Package look has the style that all pages of Pawl share: the colours of both themes, and the fonts.
package look

import _ "embed"

// Base is the beginning of every style sheet.
//
//go:embed base.css
var Base []byte
