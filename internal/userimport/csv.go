package userimport

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// columns are the columns of a CSV file, each one of fieldNames.
type columns []string

// readHeader reads the first line of a CSV file.
func readHeader(line []byte) (columns, error) {
	for _, separator := range []string{";", "\t"} {
		isField := func(name string) bool {
			return slices.Contains(fieldNames, canonicalName(strings.Trim(name, ` "`)))
		}
		if names := strings.Split(string(line), separator); len(names) > 1 && slices.ContainsFunc(names, isField) {
			return nil, fmt.Errorf("the columns are separated by %q; save the file with commas", separator)
		}
	}
	header, err := readRow(line)
	if err != nil {
		return nil, err
	}
	var c columns
	for i, name := range header {
		field := canonicalName(strings.TrimSpace(name))
		if !slices.Contains(fieldNames, field) {
			// Do not quote a value: a file without a header begins with a user, and the first field of a user may be a
			// secret.
			isValue := func(r rune) bool { return !unicode.IsLetter(r) && !strings.ContainsRune(" _-;\t", r) }
			if strings.ContainsFunc(name, isValue) {
				field = fmt.Sprintf("with the name of column %d", i+1)
			}
			return nil, unknownField(field)
		}
		if slices.Contains(c, field) {
			return nil, fmt.Errorf("the first line has %s twice", field)
		}
		c = append(c, field)
	}
	if !slices.Contains(c, "login") || !slices.Contains(c, "passwordHash") && !slices.Contains(c, "externalId") {
		return nil, errors.New("the first line must name the columns, separated by commas, " +
			"with login and with passwordHash or externalId")
	}
	return c, nil
}

// read reads a line of a CSV file. An empty cell is a missing field.
func (c columns) read(line []byte) (f fields, err error) {
	row, err := readRow(line)
	if err != nil {
		return f, err
	}
	if len(row) != len(c) {
		return f, fmt.Errorf("the line has %d fields, but the first line has %d", len(row), len(c))
	}
	texts := map[string]*string{
		"login": &f.Login, "externalId": &f.ExternalID, "email": &f.Email, "firstName": &f.FirstName,
		"lastName": &f.LastName, "authLevel": &f.AuthLevel, "status": &f.Status, "created": &f.Created,
		"passwordHash": &f.PasswordHash,
	}
	numbers := map[string]**int64{"userId": &f.UserID, "networkId": &f.NetworkID, "mailboxId": &f.MailboxID}
	for i, cell := range row {
		if text, ok := texts[c[i]]; ok {
			*text = cell
			continue
		}
		if cell == "" {
			continue
		}
		n, err := strconv.ParseInt(cell, 10, 64)
		if err != nil {
			return f, fmt.Errorf("%s must be a whole number", c[i])
		}
		*numbers[c[i]] = &n
	}
	return f, nil
}

// readRow reads one line by itself. No field of a user spans lines, so an unclosed quote must not swallow the following
// lines.
func readRow(line []byte) ([]string, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("the line is not UTF-8; save the file in UTF-8 (in Excel as \"CSV UTF-8\")")
	}
	r := csv.NewReader(bytes.NewReader(line))
	row, err := r.Read()
	if err != nil {
		return nil, errors.New("the line is not CSV: a quote is missing, or is not doubled")
	}
	return row, nil
}
