package userimport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// mostLine is how long a line may be, in bytes: as a body of the API.
const mostLine = 16 << 10

var errLongLine = fmt.Errorf("the line is longer than %d KiB, or the file is none of lines", mostLine>>10)

// lines reads a file line by line in bounded memory.
type lines struct {
	in     *bufio.Reader
	number int64 // of the line that was read last, from 1
	read   int64 // bytes so far
}

func newLines(r io.Reader) *lines { return &lines{in: bufio.NewReaderSize(r, mostLine)} }

// next returns the next line without its end, which is good until the next
// call. The error is errLongLine for one that was passed over, io.EOF after the
// last, or the reader's.
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
	if err != nil && err != io.EOF { // the last line may have no end
		return nil, err
	}
	if l.number == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // as spreadsheets begin a file
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// skip reads up to the end of the line.
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
