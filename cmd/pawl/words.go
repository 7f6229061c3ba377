package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/client"
)

// leadingField matches the name of a field of the API at the beginning of a message.
var leadingField = regexp.MustCompile(`^[a-z][A-Za-z]*\b`)

// apiFields has the names of flags and arguments for fields of the API with other names.
var apiFields = map[string][]string{
	"authLevel":      {"level"},
	"networkId":      {"network"},
	"mailboxId":      {"mailbox"},
	"userId":         {"user"},
	"keyId":          {"id"},
	"sessionId":      {"session", "id"},
	"receiverId":     {"id"},
	"url":            {"address"},
	"recordsPerPage": {"limit"},
	"firstName":      {"first-name"},
	"lastName":       {"last-name"},
	"externalId":     {"external-id"},
	"maxLevel":       {"max-level"},
	"tokenLife":      {"max-token-life"},
	"idleLife":       {"max-idle-life"},
	"sessionLife":    {"max-session-life"},
	"actorId":        {"actor"},
	"login":          {"login", "user"},
}

// apiPhrases replaces the calls and fields of the API in a message by commands.
var apiPhrases = strings.NewReplacer(
	"list the sessions with POST /v2/auth/sessions", `"pawl session list" has the ids`,
	"list the sessions with /v2/auth/sessions", `"pawl session list" has the ids`,
	"list the keys with /v2/signing-keys/list", `"pawl signing-key list" has the ids`,
	"list the receivers with /v2/receivers/list", `"pawl receiver list" has the ids`,
	"check the userId", `"pawl user list" has the ids`,
	"check the keyId", `"pawl key list" has the ids`,
	"use PUT /v2/auth/password", "ask another administrator",
	"see /docs for all paths", "is PAWL_URL the address of the server?",
	"sign in again", `sign in again with "pawl login"`,
	"send it as X-API-Key", "put it into PAWL_API_KEY",
	"X-API-Key", "PAWL_API_KEY",
	"newPassword", "the new password",
	"send now: true", "add --now",
	"check userId, login or externalId, or send user to create one", `"pawl user list" has the logins and ids`,
)

// inCommandWords returns a message of the server in the words of a command: flags and arguments instead of fields.
func inCommandWords(parsed *kong.Context, message string) string {
	message = apiPhrases.Replace(strings.TrimSuffix(message, "."))
	if len(message) > 1 && unicode.IsUpper(rune(message[0])) && !unicode.IsUpper(rune(message[1])) {
		return strings.ToLower(message[:1]) + message[1:] // it follows "pawl: "
	}
	if parsed == nil || parsed.Selected() == nil {
		return message
	}
	return leadingField.ReplaceAllStringFunc(message, func(field string) string {
		names, ok := apiFields[field]
		if !ok {
			names = []string{field}
		}
		for _, name := range names {
			if flag := findFlag(parsed, name); flag != nil && !flag.Hidden {
				return "--" + name
			}
			isArgument := func(a *kong.Positional) bool { return a.Name == name }
			if slices.ContainsFunc(parsed.Selected().Positional, isArgument) {
				return "<" + name + ">"
			}
		}
		return "the " + field
	})
}

// findFlag returns a flag of the command, or nil.
func findFlag(parsed *kong.Context, name string) *kong.Flag {
	flags := parsed.Selected().Flags
	if i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
		return flags[i]
	}
	return nil
}

// explainServer returns the message for an error response in the words of the command, and what to do about it.
func explainServer(parsed *kong.Context, e *client.Error) string {
	if e.Code == "" {
		return e.Error() // the response is not from Pawl
	}
	if errors.Is(e, client.ErrInvalidAPIKey) {
		return "the API key in PAWL_API_KEY is not valid; check that it is whole, or ask for a new one"
	}
	return inCommandWords(parsed, e.Message)
}

// missingKey returns a usage error for a call that was rejected because there is no API key, and other errors
// unchanged.
func missingKey(parsed *kong.Context, err error) error {
	rejected := errors.Is(err, client.ErrInvalidAPIKey) || errors.Is(err, client.ErrInvalidSession)
	key := findFlag(parsed, "api-key")
	if !rejected || key == nil || key.Target.String() != "" || parsed.Selected().Name == "refresh" {
		return err
	}
	return usagef("an API key is missing; put one into PAWL_API_KEY " +
		"(pawl init printed one, and pawl dev writes one to dev.env)")
}

var requestInError = regexp.MustCompile(`[A-Z][a-z]+ "(https?://[^/"]+)[^"]*": `)

// explainUnreachable returns the message for an error of the connection without the call of the API.
func explainUnreachable(message string) string {
	if found := requestInError.FindStringSubmatch(message); found != nil {
		message = strings.Replace(message, found[0], "", 1)
		message = strings.Replace(message, "the server is unreachable", "the server at "+found[1]+" is unreachable", 1)
		message = strings.Replace(message, "is it running?", "is it running, and is PAWL_URL its address?", 1)
		message = strings.Replace(message, "check the address, or trust the authority of the certificate",
			"check PAWL_URL, or name a file with its authority in SSL_CERT_FILE", 1)
	}
	return message
}
