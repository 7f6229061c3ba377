package userimport

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlauth/pawl/internal/authority"
)

// fields is a line: the User of the API, and the hash. What is not given is
// nil or "".
type fields struct {
	UserID       *int64 `json:"userId"`
	Login        string `json:"login"`
	Email        string `json:"email"`
	FirstName    string `json:"firstName"`
	LastName     string `json:"lastName"`
	NetworkID    *int64 `json:"networkId"`
	MailboxID    *int64 `json:"mailboxId"`
	AuthLevel    string `json:"authLevel"`
	Status       string `json:"status"`
	Created      string `json:"created"`
	PasswordHash string `json:"passwordHash"`
}

// names are the fields, as a file has them.
var names = []string{"userId", "login", "email", "firstName", "lastName", "networkId", "mailboxId", "authLevel", "status", "created", "passwordHash"}

// record gives the user of a line, with defaults for what it does not say.
func (f fields) record(standard authority.Tenant) (authority.UserWithHash, error) {
	u := authority.UserWithHash{PasswordHash: f.PasswordHash, User: authority.User{Login: f.Login, Email: f.Email, FirstName: f.FirstName, LastName: f.LastName,
		Tenant: standard, Level: authority.MailboxUser, Status: authority.Active}}
	if u.Email == "" {
		u.Email = u.Login
	}
	if f.NetworkID != nil {
		u.NetworkID = *f.NetworkID
	}
	if f.MailboxID != nil {
		u.MailboxID = *f.MailboxID
	}
	if f.UserID != nil {
		if u.ID = *f.UserID; u.ID == 0 { // which asks the store for one
			u.ID = -1
		}
	}
	var err error
	if f.AuthLevel != "" {
		if u.Level, err = authority.ParseLevel("authLevel", f.AuthLevel); err != nil {
			return u, err
		}
	}
	if f.Status != "" {
		if u.Status, err = authority.ParseStatus("status", f.Status); err != nil {
			return u, err
		}
	}
	if f.Created != "" {
		at, err := time.Parse(time.RFC3339, f.Created)
		if err != nil || at.Unix() <= 0 {
			return u, errors.New("created must be a time such as 2026-05-07T20:00:00Z, after 1970")
		}
		u.Created = at.Unix()
	}
	return u, Check(u)
}

// readJSON reads a line that is one JSON object. Errors name the field, and
// have nothing of its value.
func readJSON(line []byte) (f fields, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
		return f, errors.New("the line is not one JSON object")
	}
	err = json.Unmarshal(line, &f, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(true))
	if err == nil {
		return f, nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		field := fieldOf(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return f, unknownField(field)
		}
		return f, fmt.Errorf("%s has the wrong type", field)
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(err, jsontext.ErrDuplicateName) {
		return f, fmt.Errorf("%s is there twice", fieldOf(syntactic.JSONPointer))
	} else if ok {
		return f, fmt.Errorf("the line is not JSON in UTF-8: it breaks at byte %d", syntactic.ByteOffset)
	}
	return f, errors.New("the line is not JSON in UTF-8")
}

// fieldOf names the field that a pointer leads to: a name of ours, or what is
// there of another, cut short and quoted.
func fieldOf(pointer jsontext.Pointer) string { return named(strings.TrimPrefix(string(pointer), "/")) }

func named(name string) string {
	if i := slices.IndexFunc(names, func(known string) bool { return fold(known) == fold(name) }); i >= 0 {
		return names[i]
	}
	const most = 32
	return fmt.Sprintf("%.*q", most, name)
}

func unknownField(field string) error {
	return fmt.Errorf("there is no field %s; the fields are %s", field, strings.Join(names, ", "))
}

// fold is how names are compared: as JSON's are.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// isWord reports whether a text is one that may name a column.
func isWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !strings.ContainsRune(" _-;\t", r) })
}

// columns are the names of a CSV file's columns, each one of names.
type columns []string

// readHeader reads the first line of a CSV file.
func readHeader(line []byte) (columns, error) {
	header, err := readRow(line)
	if err != nil {
		return nil, err
	}
	var c columns
	for i, name := range header {
		field := named(strings.TrimSpace(name))
		if !slices.Contains(names, field) {
			if !isWord(name) { // a file without names begins with a user, and may begin with a secret
				field = fmt.Sprintf("with the name of column %d", i+1)
			}
			return nil, unknownField(field)
		}
		if slices.Contains(c, field) {
			return nil, fmt.Errorf("%s is there twice", field)
		}
		c = append(c, field)
	}
	if !slices.Contains(c, "login") || !slices.Contains(c, "passwordHash") {
		return nil, errors.New("the first line must name the columns, login and passwordHash among them, with commas between")
	}
	return c, nil
}

// read reads a line of a CSV file. An empty cell is a field that is not given.
func (c columns) read(line []byte) (f fields, err error) {
	row, err := readRow(line)
	if err != nil {
		return f, err
	}
	if len(row) != len(c) {
		return f, fmt.Errorf("the line has %d fields, and the first line %d", len(row), len(c))
	}
	texts := map[string]*string{"login": &f.Login, "email": &f.Email, "firstName": &f.FirstName, "lastName": &f.LastName,
		"authLevel": &f.AuthLevel, "status": &f.Status, "created": &f.Created, "passwordHash": &f.PasswordHash}
	numbers := map[string]**int64{"userId": &f.UserID, "networkId": &f.NetworkID, "mailboxId": &f.MailboxID}
	for i, cell := range row {
		if into, ok := texts[c[i]]; ok {
			*into = cell
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

// readRow reads one line by itself: no field of a user has a line's end in it,
// so a quote that is not closed takes no more than its own line.
func readRow(line []byte) ([]string, error) {
	r := csv.NewReader(strings.NewReader(strings.ToValidUTF8(string(line), "\x00")))
	row, err := r.Read()
	if err != nil {
		return nil, errors.New("the line is not CSV: a quote is missing, or is not doubled")
	}
	return row, nil
}
