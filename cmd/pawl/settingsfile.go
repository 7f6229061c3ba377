package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fileSetting is one setting of the file of --config.
type fileSetting struct {
	name  string
	line  int
	json  string
	value any   // a string, or a []any of strings for a list
	err   error // why there is no value
}

// readSettingsFile reads a JSON object with the names of flags. The value of a name may be invalid by itself; an error
// of the whole file names the line.
func readSettingsFile(path string) ([]fileSetting, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("cannot read the settings file: %w; check --config and PAWL_CONFIG", err)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the byte order mark of an editor
	line := func(offset int64) int { return 1 + bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")) }
	broken := func(offset int64, err error) error {
		return usagef("%s:%d: the file is not one JSON object: %w", path, line(offset), err)
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(text)) // rejects duplicate names
	begin, err := decoder.ReadToken()
	if err == nil && begin.Kind() != '{' {
		err = errors.New(`write {"token-life": "15m"}, for example`)
	}
	var settings []fileSetting
	for err == nil && decoder.PeekKind() != '}' {
		var name, value jsontext.Value
		if name, err = decoder.ReadValue(); err != nil {
			break
		}
		setting := fileSetting{line: line(decoder.InputOffset())}
		if err = json.Unmarshal(name, &setting.name); err != nil {
			break
		}
		if value, err = decoder.ReadValue(); err == nil {
			setting.json = value.String()
			setting.value, setting.err = settingValue(value)
			settings = append(settings, setting)
		}
	}
	if err == nil {
		_, err = decoder.ReadToken() // the end of the object
	}
	if err == nil {
		if _, err = decoder.ReadToken(); err == nil {
			err = errors.New("there is text after its end")
		} else if err == io.EOF {
			err = nil
		}
	}
	if err == nil {
		return settings, nil
	}
	offset := decoder.InputOffset()
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset = syntactic.ByteOffset
		err = cmp.Or(syntactic.Err, err)
	}
	return nil, broken(offset, err)
}

// settingValue returns a JSON value as it would be on the command line, or as a list of such values.
func settingValue(value jsontext.Value) (any, error) {
	if value.Kind() != '[' {
		return scalar(value)
	}
	var elements []jsontext.Value
	if err := json.Unmarshal(value, &elements); err != nil {
		return nil, err
	}
	list := []any{}
	for _, element := range elements {
		text, err := scalar(element)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// scalar returns a JSON value that is no list as it would be on the command line.
func scalar(value jsontext.Value) (string, error) {
	switch value.Kind() {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	case 't', 'f':
		return value.String(), nil
	case '0':
		var number float64
		if err := json.Unmarshal(value, &number); err != nil || !strings.ContainsAny(value.String(), ".eE") {
			return value.String(), nil
		}
		return strconv.FormatFloat(number, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("must be a string, a number, true, false, or a list of them")
}
