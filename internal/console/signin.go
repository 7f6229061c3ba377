package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// signInForm is the data of the sign-in page.
type signInForm struct {
	Login string
	Next  string
	Error string
}

func (c *Console) signInPage(_ context.Context, r *request) (response, error) {
	return signInResponse(http.StatusOK, signInForm{Next: r.FormValue("next")}), nil
}

func signInResponse(status int, form signInForm) response {
	return response{page: "signin", title: t("signin.title"), data: form, status: status}
}

// rejectedSignIn returns the sign-in page with an error, and how long to wait.
func rejectedSignIn(form signInForm, err error) response {
	form.Error = messageOf(err)
	return signInResponse(statusOf(err), form).after(err)
}

// signIn opens a session. It always opens a new one, so that no cookie from before the sign-in is worth anything.
func (c *Console) signIn(ctx context.Context, r *request) (response, error) {
	form := signInForm{Login: r.PostFormValue("login"), Next: r.PostFormValue("next")}
	if c.overPlainHTTP(r.Request) {
		form.Error = t("signin.plain")
		return signInResponse(http.StatusForbidden, form), nil
	}
	issued, err := c.authority.Login(ctx, form.Login, r.PostFormValue("password"), origin(r.Request))
	switch fault.KindOf(err) {
	case fault.InvalidCredentials, fault.InvalidParameter, fault.RateLimited, fault.Unavailable:
		return rejectedSignIn(form, err), nil
	}
	if err != nil {
		return response{}, err
	}
	return response{next: c.localPath(form.Next), cookie: c.setCookie(r.Request, issued)}, nil
}

// localPath returns the path and query of a page of the console, below its base, or "/" if the address is another one.
// A sign-in leads there, so it must never lead to another site.
func (c *Console) localPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsAny(address, "\\\r\n\t") {
		return "/"
	}
	path, ok := strings.CutPrefix(u.Path, c.base+"/")
	if !ok || strings.HasPrefix(path, "/") || strings.Contains(path, "..") {
		return "/"
	}
	local := url.URL{Path: "/" + path, RawQuery: u.RawQuery}
	return local.RequestURI()
}

// signOut removes the cookie, and ends the session of its token. It needs no sign-in, because a session whose token has
// expired must end too.
func (c *Console) signOut(ctx context.Context, r *request) (response, error) {
	result := next("/sign-in", "signed-out")
	result.cookie = c.cookie(r.Request, "", -1)
	err := c.authority.SignOut(ctx, authority.SignOutRequest{Token: c.token(r.Request), From: origin(r.Request)})
	if fault.KindOf(err) == fault.InvalidSession {
		err = nil // the browser has no session, or an ended one
	}
	return result, err
}
