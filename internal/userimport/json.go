package userimport

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// readJSON reads a line of one JSON object. Errors name the field, and never have its value in them.
func readJSON(line []byte) (f fields, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
		return f, errors.New("the line is not one JSON object")
	}
	err = json.Unmarshal(line, &f, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(true))
	if err == nil {
		return f, nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		field := pointedField(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return f, unknownField(field)
		}
		return f, fmt.Errorf("%s has the wrong type", field)
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return f, fmt.Errorf("the line has %s twice", pointedField(syntactic.JSONPointer))
		}
		return f, fmt.Errorf("the line is not JSON in UTF-8; it breaks at byte %d", syntactic.ByteOffset)
	}
	return f, errors.New("the line is not JSON in UTF-8")
}

// pointedField returns the name of the field that a pointer leads to.
func pointedField(pointer jsontext.Pointer) string {
	return canonicalName(strings.TrimPrefix(string(pointer), "/"))
}
