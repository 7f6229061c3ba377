package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/pawlauth/pawl/api"
)

var (
	errBodyCutOff   = invalid("The body was cut off; send it again.")
	errBodyTooLarge = &statusError{http.StatusRequestEntityTooLarge,
		invalid("The body is larger than 16 KiB; send less.")}
	errBodyNotJSON = &statusError{http.StatusUnsupportedMediaType,
		invalid("The body must be JSON; send Content-Type: application/json.")}
	errBodyCompressed = &statusError{http.StatusUnsupportedMediaType,
		invalid("The body is compressed; send it without Content-Encoding.")}
	errBodyNoObject = invalid("The body must be one JSON object.")
)

// decode reads the body: one JSON object in UTF-8 of at most MaxBodyBytes, with or without a byte order mark. An empty
// body and null are an empty object, so that the handler can name the missing fields.
func decode(r *http.Request, into any) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	body, err := readBody((*buffer)[:0], r.Body)
	*buffer = body
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	switch {
	case isCompressed(r):
		return errBodyCompressed
	case !isJSON(contentType) || contentType == "" && sentByScript(r):
		return errBodyNotJSON
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	switch value := bytes.Trim(body, " \t\r\n"); {
	case string(value) == "null":
		return nil
	case len(value) == 0 || value[0] != '{':
		return errBodyNoObject
	}
	return explainJSON(jsonv2.Unmarshal(body, into, namesMatch))
}

var byteOrderMark = []byte("\ufeff")

// isCompressed reports whether a request has a compressed body. A small body can grow without bound when it is
// decompressed, so the server accepts none.
func isCompressed(r *http.Request) bool {
	for _, encoding := range r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return true
		}
	}
	return false
}

// namesMatch matches names as strings.EqualFold does. Without the second option the library would also ignore _ and -.
var namesMatch = jsonv2.JoinOptions(jsonv2.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true))

// readBody appends a body of at most MaxBodyBytes to b.
func readBody(b []byte, from io.Reader) ([]byte, error) {
	for {
		b = slices.Grow(b, 512)
		n, err := from.Read(b[len(b):min(cap(b), api.MaxBodyBytes+1)])
		b = b[:len(b)+n]
		switch {
		case len(b) > api.MaxBodyBytes:
			return b, errBodyTooLarge
		case err == io.EOF:
			return b, nil
		case errors.Is(err, errAtCapacity):
			return b, errAtCapacity
		case err != nil:
			return b, errBodyCutOff
		}
	}
}

// isJSON accepts application/json with any parameters, because a charset has no effect on JSON (RFC 8259, 11), and a
// missing Content-Type.
func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// sentByScript reports whether a script in a browser sent the request. A script of any site may send a request without
// a Content-Type, and could thus try passwords from the addresses of the site's visitors. A request with the
// Content-Type of JSON is safe, because the browser first asks the server for permission (a CORS preflight).
func sentByScript(r *http.Request) bool { return r.Header.Get("Origin") != "" }

// explainJSON returns an error with the name of the wrong field, and never with its value.
func explainJSON(err error) error {
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return invalid(fmt.Sprintf("%s must be %s.", fieldName(semantic.JSONPointer), typeName(semantic.GoType)))
	}
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return invalid("The body is not JSON in UTF-8.")
	}
	name := fieldName(syntactic.JSONPointer)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalid(name + " occurs twice; send it once.")
	case name != "":
		return invalid(fmt.Sprintf("The body is not JSON in UTF-8; fix %s, at byte %d.", name, syntactic.ByteOffset))
	}
	return invalid(fmt.Sprintf("The body is not JSON in UTF-8; fix it at byte %d.", syntactic.ByteOffset))
}

// fieldName returns the name of the field at a pointer, shortened to fit a message.
func fieldName(pointer jsontext.Pointer) string {
	name := strings.TrimPrefix(string(pointer), "/")
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}

func typeName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return "of another type"
	case t == reflect.TypeFor[api.Time]():
		return "a time such as 2026-05-07T20:00:00Z"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Int64:
		return "an integer"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "of another type"
}
