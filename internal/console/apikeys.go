package console

import (
	"context"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// scopes are the scopes of an API key, as options with their meaning.
func scopes() []option {
	var all []option
	for scope := authority.FullScope; scope <= authority.OpenSessionsScope; scope++ {
		text := word("scope", scope) + ": " + t("key.scope-"+scope.String())
		all = append(all, option{Value: scope.String(), Text: text})
	}
	return all
}

func (c *Console) keyForm(ctx context.Context, r *request) (form, error) {
	f, user, err := c.personForm(ctx, r, "keys")
	if err != nil {
		return form{}, err
	}
	standard := option{Text: t("key.level-default", word("level", authority.MailboxUser))}
	levels := append([]option{standard}, levelsFrom(max(r.caller.User.Level, user.Level))...)
	f.Intro = t("keys.intro", user.Login)
	f.Fields = []field{
		{Name: "name", Label: t("key.name"), Hint: t("key.name-hint"), Complete: "off"},
		{Name: "scope", Label: t("key.scope"), Type: "select", Options: scopes()},
		{Name: "maxLevel", Label: t("key.max-level"), Hint: t("key.max-level-hint"), Type: "select", Options: levels},
		{Name: "days", Label: t("key.days"), Type: "number", Hint: t("key.days-hint")},
	}
	return f, nil
}

// newKey is the data of the page that shows an API key, once.
type newKey struct {
	Key  string
	Name string
	Back string
}

func (c *Console) createKey(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	key := authority.NewAPIKey{UserID: id, Visibility: authority.Private, Name: r.text("name")}
	if key.Scope, err = authority.ParseScope("scope", r.text("scope")); err != nil {
		return response{}, err
	}
	if level := r.text("maxLevel"); level != "" && key.Scope == authority.OpenSessionsScope {
		if key.MaxLevel, err = authority.ParseLevel("maxLevel", level); err != nil {
			return response{}, err
		}
	}
	days, err := r.number("days", "key.days")
	switch {
	case err != nil:
		return response{}, err
	case days != nil && (*days < 1 || *days > maxKeyDays):
		return response{}, errKeyDays
	case days != nil:
		key.Expires = c.clock().Unix() + *days*86400
	}
	created, text, err := c.authority.CreateAPIKey(ctx, r.caller, key)
	if err != nil {
		return response{}, err
	}
	data := newKey{Key: text, Name: created.Name, Back: personPath(id)}
	return response{page: "newkey", title: t("key.created"), data: data}, nil
}

const maxKeyDays = 36500

var errKeyDays = fault.Invalid(t("error.key-days"))

// key returns the API key of the path.
func (c *Console) key(ctx context.Context, r *request) (authority.APIKey, error) {
	id, err := r.id()
	if err != nil {
		return authority.APIKey{}, err
	}
	keys, err := c.authority.APIKeys(ctx, r.caller, id, 0)
	if err != nil {
		return authority.APIKey{}, err
	}
	for _, key := range keys {
		if strconv.FormatInt(key.ID, 10) == r.PathValue("key") {
			return key, nil
		}
	}
	return authority.APIKey{}, errKey
}

var errKey = fault.New(fault.NotFound, t("error.key"))

func (c *Console) askRemoveKey(ctx context.Context, r *request) (response, error) {
	key, err := c.key(ctx, r)
	if err != nil {
		return response{}, err
	}
	return ask(t("key.remove-title"), confirmation{
		Effect: t("key.remove-effect", key.Mask), Button: t("key.remove"), Back: personPath(key.UserID),
		Action: personPath(key.UserID) + "/keys/" + strconv.FormatInt(key.ID, 10) + "/remove",
	}), nil
}

func (c *Console) removeKey(ctx context.Context, r *request) (response, error) {
	key, err := c.key(ctx, r)
	if err != nil {
		return response{}, err
	}
	if err := c.authority.DeleteAPIKey(ctx, r.caller, key.ID); err != nil {
		return response{}, err
	}
	return next(personPath(key.UserID), "key-removed"), nil
}
