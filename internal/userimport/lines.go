package userimport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine is the length of the longest line in bytes, the same as for a request body of the API.
const maxLine = 16 << 10

var errLongLine = fmt.Errorf("the line is longer than %d KiB, or the file has no lines", maxLine>>10)

// lines reads a file line by line in bounded memory.
type lines struct {
	in     *bufio.Reader
	number int64 // the number of the current line; the first one is 1
	read   int64 // the bytes read so far
}

func newLines(r io.Reader) *lines { return &lines{in: bufio.NewReaderSize(r, maxLine)} }

// The errors of files that spreadsheets save, but that are not text in UTF-8.
var (
	errUTF16    = errors.New("the file is in UTF-16; save it in UTF-8 (in Excel as \"CSV UTF-8\")")
	errWorkbook = errors.New("the file is a workbook of a spreadsheet; save it as text (in Excel as \"CSV UTF-8\")")
)

// checkStart returns an error if the first bytes show that the file is not text in UTF-8.
func (l *lines) checkStart() error {
	start, err := l.in.Peek(4)
	if len(start) < 2 {
		if err == io.EOF {
			return nil
		}
		return err
	}
	switch text := string(start); {
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), text[0] == 0, text[1] == 0:
		return errUTF16
	case text == "PK\x03\x04", text == "\xd0\xcf\x11\xe0":
		return errWorkbook
	}
	return nil
}

// next returns the next line without its line break. The slice is valid until the next call. The error is errLongLine
// for a skipped line, io.EOF after the last line, or an error of the reader.
func (l *lines) next() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	l.read += int64(len(line))
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.number++
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, l.skip()
	}
	if err != nil && err != io.EOF { // the last line may lack a line break
		return nil, err
	}
	if l.number == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // the byte order mark of spreadsheets
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// skip reads to the end of the current line.
func (l *lines) skip() error {
	for {
		part, err := l.in.ReadSlice('\n')
		l.read += int64(len(part))
		switch {
		case err == nil, err == io.EOF:
			return errLongLine
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
