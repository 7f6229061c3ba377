package internal_test

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// finding is one breach of the style in one line of a file.
type finding struct {
	line    int
	problem string
}

// passage is a piece of prose: a paragraph of a comment or document, or a message.
type passage struct {
	line int
	text string
	// fragment marks a message, because a message need not be a sentence.
	fragment bool
}

var (
	clauseStart = regexp.MustCompile(`^(What|Whatever|Who|Whom|Whoever|Whose|Which|Whichever|That|Of)\b`)
	sentenceEnd = regexp.MustCompile(`[.!?]["')*_\]]*\s+["'(*_\[]*[A-Z]`)
	quoteMarks  = "\"'`(*_[“‘ "
)

// sentences splits a text at each full stop, question mark and exclamation mark before a capital.
func sentences(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	var all []string
	for {
		end := sentenceEnd.FindStringIndex(text)
		if end == nil {
			return append(all, text)
		}
		cut := end[0] + strings.IndexByte(text[end[0]:], ' ')
		all = append(all, text[:cut])
		text = text[cut+1:]
	}
}

// checkSentences rejects sentences whose subject is a clause ("What is left ...") or a pronoun ("That is ...").
func checkSentences(p passage) []finding {
	if p.fragment {
		return nil
	}
	var found []finding
	for i, sentence := range sentences(p.text) {
		start := strings.TrimLeft(sentence, quoteMarks)
		first, size := utf8.DecodeRuneInString(start)
		if i == 0 && size > 0 && !strings.HasPrefix(start, "of ") { // a fragment may begin with "of"
			start = string(unicode.ToUpper(first)) + start[size:]
		}
		question := strings.HasSuffix(strings.TrimRight(sentence, "\"')*_]”"), "?")
		if clauseStart.MatchString(start) && !question && !strings.HasPrefix(start, "Of course") {
			found = append(found, finding{p.line, fmt.Sprintf("begin with the thing itself: %q", shorten(sentence))})
		}
	}
	return found
}

// checkPhrases rejects the words of bannedPhrases.
func checkPhrases(p passage) []finding {
	text := strings.Join(strings.Fields(p.text), " ")
	var found []finding
	for _, banned := range bannedPhrases {
		if word := banned.pattern.FindString(text); word != "" {
			problem := fmt.Sprintf("%q: write %s instead, in %q", word, banned.instead, shorten(text))
			found = append(found, finding{p.line, problem})
		}
	}
	return found
}

func shorten(text string) string {
	const enough = 160
	if runes := []rune(text); len(runes) > enough {
		return string(runes[:enough]) + "…"
	}
	return text
}

var (
	inlineCode  = regexp.MustCompile("`[^`]*`")
	htmlComment = regexp.MustCompile(`(?s)<!--.*?-->`)
	listMark    = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s+`)
	tableRule   = regexp.MustCompile(`^\s*\|[\s|:-]+\|\s*$`)
	linkTarget  = regexp.MustCompile(`\]\([^)]*\)`)
)

// markdown has the lines of a document, with blocks of code and HTML comments taken out.
type markdown []string

func parseMarkdown(document string) markdown {
	document = htmlComment.ReplaceAllStringFunc(document, func(comment string) string {
		return strings.Repeat("\n", strings.Count(comment, "\n"))
	})
	var lines markdown
	var fenced, indented, list bool
	for line := range strings.Lines(document) {
		line = strings.TrimSuffix(line, "\n")
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		afterBlank := len(lines) == 0 || lines[len(lines)-1] == ""
		indented = strings.HasPrefix(line, "    ") && !list && (indented || afterBlank)
		if line != "" && !strings.HasPrefix(line, " ") {
			list = listMark.MatchString(line)
		}
		if fence || fenced || indented {
			line = ""
		}
		fenced = fenced != fence
		lines = append(lines, line)
	}
	return lines
}

// prose returns the paragraphs, list items and table cells of a document.
func (m markdown) prose() []passage {
	var all []passage
	begin := true
	for i, line := range m {
		trimmed := strings.TrimLeft(strings.TrimSpace(line), "> ")
		switch {
		case trimmed == "", strings.HasPrefix(trimmed, "#"), tableRule.MatchString(line):
			begin = true
		case strings.HasPrefix(trimmed, "|"):
			begin = true
			if i+1 < len(m) && tableRule.MatchString(m[i+1]) {
				continue // the header row
			}
			for cell := range strings.SplitSeq(strings.Trim(trimmed, "|"), "|") {
				all = append(all, passage{line: i + 1, text: plainMarkdown(strings.TrimSpace(cell))})
			}
		case begin || listMark.MatchString(line):
			all = append(all, passage{line: i + 1, text: plainMarkdown(listMark.ReplaceAllString(trimmed, ""))})
			begin = false
		default:
			all[len(all)-1].text += " " + plainMarkdown(trimmed)
		}
	}
	return all
}

// plainMarkdown takes out code and the targets of links.
func plainMarkdown(text string) string {
	return linkTarget.ReplaceAllString(inlineCode.ReplaceAllString(text, "`code`"), "]")
}

// checkWidth limits the columns of a line, except in code, tables and lines with a link.
func (m markdown) checkWidth() []finding {
	var found []finding
	for i, line := range m {
		free := strings.HasPrefix(strings.TrimSpace(line), "|") || strings.Contains(line, "](") || longURL(line)
		if width := columns(line); width > maxColumns && !free {
			found = append(found, tooWide(i+1, width))
		}
	}
	return found
}
