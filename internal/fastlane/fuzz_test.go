package fastlane_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// post returns a POST request with extra header lines and a body.
func post(path, body string, lines ...string) string {
	text := "POST " + path + " HTTP/1.1\r\nHost: pawl.example\r\n"
	for _, line := range lines {
		text += line + "\r\n"
	}
	if body != "" {
		text += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return text + "\r\n" + body
}

// introspection returns a request with a form. The handler reads the form and Basic.
func introspection(body string, lines ...string) string {
	lines = append(lines, "Authorization: Basic YTpi", "X-Shape: f u t")
	return post(introspectPath, body, append(lines, "Content-Type: "+formType)...)
}

// forms are requests with a form, whole and malformed, and pipelines with one.
func forms() []string {
	form := introspection("token=a.b.c&token_type_hint=access_token")
	all := []string{
		form, form + form, form + hot() + form, hot() + form + "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + form,
		introspection(""), introspection("", "Content-Length: 0"), form + "&token=d", form + "\r\n" + form,
		strings.Replace(form, "YTpi", "YTpi=", 1) + form, strings.Replace(form, "Basic", "Bearer", 1) + form,
		introspection("token=a", "X-API-Key: k", "X-API-Key: k"), introspection("token=a", "Content-Type: text/plain"),
		introspection("token=a", "Content-Encoding: gzip") + form,
		introspection("token=a", "Sec-Fetch-Mode: cors") + form,
		introspection("token="+strings.Repeat("x", 3000)) + form, introspection(strings.Repeat("&", 5000)) + form,
		strings.Replace(form, "POST", "GET", 1) + form, strings.Replace(form, "POST", "PUT", 1) + form,
		strings.Replace(form, introspectPath, introspectPath+"/", 1) + form,
		strings.Replace(form, introspectPath, introspectPath+"?token=q", 1) + form,
		strings.Replace(form, introspectPath, "/oauth2/%69ntrospect", 1) + form,
	}
	for _, body := range []string{
		"token", "=", "&", "token=a&token=b", "token=a;b", "token=%zz", "token=%", "token=%5F+x", "%00=\x00", "{}",
		"\xff=\xfe", "token=a\r\n\r\n", "token=a\r\n\r\nPOST / HTTP/1.1\r\n\r\n", "client_secret=p%5Fx&token=a",
	} {
		all = append(all, introspection(body)+form)
	}
	for _, contentType := range []string{
		formType + "; charset=utf-8", formType + ";", "Application/X-WWW-Form-URLencoded",
		"multipart/form-data; boundary=x", "text/plain", "application/json", "", ";", "\t" + formType,
		formType + ", text/plain",
	} {
		all = append(all, strings.Replace(form, formType, contentType, 1)+form)
	}
	return all
}

// hot returns a request that the lane answers.
func hot(lines ...string) string { return post(sessionPath, "", lines...) }

// streams are what clients may send: the hot calls, and everything that a lane could take for one.
func streams() []string {
	refresh := post(refreshPath, `{"token":"a.b.c"}`, "Content-Type: application/json", "X-Shape: a t")
	get := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	all := []string{
		"", "\r\n", "\r\n\r\n", "\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
		hot(), refresh, hot() + refresh + hot(), refresh + get + refresh, get + hot(),
		hot() + "garbage\r\n\r\n" + hot(),
		refresh + "\r\n" + refresh, refresh + "\r\n\r\n" + refresh, refresh + "\n\n\n\n\n" + hot(), "\r\n" + hot(),
		hot() + "\r\n", hot() + "\r\n\r\n", hot() + "\r", hot() + "GE", hot() + "GET", hot() + "GET /", refresh + "}",
		hot() + "\r\nP", hot() + "\r\nPOS", hot() + "\n\n\n\n", hot() + "\n\n\n\nPOST",
		hot() + "\r\n\r\n\r\n" + hot(),
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "post", "POST ", "PO ST", "CONNECT", ""} {
		all = append(all, strings.Replace(hot(), "POST", method, 1)+hot())
	}
	for _, target := range []string{
		"/v2/auth/session/", "/V2/auth/session", "/v2/auth/session?", "/v2/auth/session?x=1", "/v2/auth/session#x",
		"//v2/auth/session", "/v2/auth/%73ession", "/v2/./auth/session", "http://pawl.example/v2/auth/session", "*",
		"pawl.example:80", "/v2/auth/session HTTP/1.1 ", " /v2/auth/session", "/v2/auth/session\t", "/",
	} {
		all = append(all, strings.Replace(hot(), sessionPath, target, 1)+hot())
	}
	for _, version := range []string{
		"HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", "HTTP/1", "HTTP/1.10", "HTTP/01.1",
		"",
	} {
		all = append(all, strings.Replace(refresh, "HTTP/1.1", version, 1)+hot())
	}
	for _, line := range headerLines() {
		all = append(all, hot(line)+hot(), post(refreshPath, "12345", line)+hot())
	}
	for _, shape := range []string{
		"s200", "s201 t", "s400", "s401 t", "s503 b0", "b0", "b0 t", "b2047", "b2048", "b2049 t", "b9999", "c",
		"c b3000",
		"v", "d", "d t", "e", "e b0", "r", "r3", "r3 x", "x", "x a", "a x a", "p", "q", "n", "n t",
	} {
		all = append(all, post(refreshPath, "12345", "X-Shape: "+shape)+hot(), hot("X-Shape: "+shape)+refresh)
	}
	return append(append(all, forms()...),
		strings.ReplaceAll(hot(), "\r\n", "\n")+hot(), strings.ReplaceAll(refresh, "\r\n", "\r")+hot(),
		strings.Replace(hot(), "\r\n\r\n", "\r\n\n", 1)+hot(), strings.Replace(hot(), "\r\n\r\n", "\n\r\n", 1)+hot(),
		strings.Replace(hot(), "pawl.example", "\r\nHost: 0", 1)+hot(),
		strings.Replace(hot(), "Host: pawl.example\r\n", "", 1)+hot(), strings.Replace(hot(), "pawl.example", "",
			1)+hot(),
		post(refreshPath, strings.Repeat("x", 3000), "X-Shape: a")+hot(),
		post(refreshPath, strings.Repeat("x", 4095), "X-Shape: a")+hot(),
		post(refreshPath, strings.Repeat("x", 20_000), "X-Shape: a")+hot(),
		hot("X-Long: "+strings.Repeat("x", 3900))+hot(), hot("X-Long: "+strings.Repeat("x", 5000))+hot(),
		strings.Repeat(hot(), 60), strings.Repeat(refresh, 40)+get,
	)
}

// headerLines are lines of a header with every trick that makes two servers read a request differently.
func headerLines() []string {
	lines := []string{
		"Host: pawl.example", "Host: other.example", "host: other.example", "Host:", "Host:\r\nHost: 0", " Host: x",
		"Host : x", "Host: [::1]:8080", "Host: a_b~!$%&'()*+,;=", "Host: a/b", "Host: a@b", "Host: a\"b", "Host: a b",
		"Host: a?b", "Host: a#b", "Host: <a>", "Host: a|b", "Host: a\\b", "Host: ::", "Host: a:b:c", "Host: %41",
		"X-a_B!#$%&'*+.^`|~: 1", "x-A--b_C-: 1", "X-: 1", "X-a@b: 1", "X-a(b: 1", "X-a/b: 1", "X-a b: 1",
		"X-Host: a\r\n b", "X-Host: a\r\n\tb", "X-Empty:", "X-Empty: ", "X-Spaces:   a b  ", "X-Tab:\ta",
		"X-Tab: a\t",
		"X-Nul: a\x00b", "X-Bare: a\rb", "X-Bare: a\nb", "X-Bare: a\n", "X-High: \xff\xfe", "X-Utf: \u00e9",
		"X-Del: \x7f",
		"X-\u00e9: a", "X_Under: a", "X-A_B: a", "x-lower-case: a", "X-UPPER: a", "X-: a", "x-a--b: c",
		"X-Twice: a\r\nX-twice: b",
		": no name", "no colon", "a", "", "X-Colon:a:b", "Pragma: no-cache", "Cookie: a=b", "Origin: https://x",
		"Expect: 100-continue", "Expect: x", "Upgrade: h2c", "Upgrade: websocket\r\nConnection: Upgrade",
		"Connection: h2c, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", "TE: trailers", "Trailer: X",
		"Trailer: Content-Length", "Keep-Alive: timeout=5", "Proxy-Connection: close", "Authorization: Bearer a.b.c",
		"Authorization:", "Authorization: a\r\nAuthorization: b", "User-Agent: x\r\nUser-Agent: y", "Via: 1.1 x",
		"Content-Type: application/json\r\nContent-Type: text/plain", "Idempotency-Key: 1", "Content-Encoding: gzip",
		"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Traceparent: 00-1-2-01",
		"Sec-Fetch-Site: cross-site",
		strings.TrimSuffix(strings.Repeat("X-Many: a\r\n", 20), "\r\n"), "HTTP2-Settings: x", "Date: x", "Referer: x",
	}
	for _, value := range []string{
		"close", "Close", "CLOSE", "cLoSe", "keep-alive", "Keep-Alive", "KEEP-ALIVE", "keep-alive, close",
		"close,keep-alive",
		"x, close", "closed", "keep-alive ", "", ",", "Host", "Content-Length", "X-Shape",
		"keep-alive\r\nConnection: close",
	} {
		lines = append(lines, "Connection: "+value)
	}
	for _, value := range []string{
		"0", "00", "1", "05", "+5", "-5", "-0", "5 ", " 5", "\t5", "5\t", "5,5", "5, 5", "5, 6", "0x5", "5.0", "1e1",
		"", " ", "a",
		"4095", "4096", "18446744073709551616", "99999999999999999999", "9223372036854775807",
		"5\r\nContent-Length: 5",
		"5\r\nContent-Length: 6", "5\r\n 6", "\u0665", "5;", "\"5\"", "5\x00",
	} {
		lines = append(lines, "Content-Length: "+value, "content-length:"+value)
	}
	for _, value := range []string{
		"chunked", "Chunked", "CHUNKED", "identity", "chunked, identity", "identity, chunked", "gzip, chunked",
		"chunked, chunked",
		" chunked", "chunked ", "\tchunked", "\x0bchunked", "chunked\x00", "xchunked", "chunke", "",
		"chunked\r\nTransfer-Encoding: x",
		"x\r\nTransfer-Encoding: chunked", "\r\n chunked", "\"chunked\"", "chunked;q=1",
		"chunked\r\nContent-Length: 3",
	} {
		lines = append(lines, "Transfer-Encoding: "+value, "transfer-encoding:"+value, "Transfer-Encoding : "+value,
			"Transfer_Encoding: "+value, " Transfer-Encoding: "+value, "Transfer-Encoding\t: "+value,
			"X: y\nTransfer-Encoding: "+value, "X: y\rTransfer-Encoding: "+value)
	}
	return lines
}

// TestSameAnswers sends each stream at once and in two pieces.
func TestSameAnswers(t *testing.T) {
	plain, withLane := startSides(t, http.HandlerFunc(shapes))
	for _, text := range streams() {
		compareState(t, plain, withLane, splitAt([]byte(text)))
		half := splitAt([]byte(text), len(text)/2)
		half.pause = time.Millisecond
		compareState(t, plain, withLane, half)
	}
}

// TestSplitAtEveryByte sends pipelines in two pieces, cut at each byte, and byte by byte.
func TestSplitAtEveryByte(t *testing.T) {
	plain, withLane := startSides(t, http.HandlerFunc(shapes))
	refresh := post(refreshPath, `{"token":"a.b.c"}`, "Content-Type: application/json", "X-Shape: a t")
	form := introspection("token=a.b.c")
	get := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, text := range []string{
		hot() + refresh, refresh + "\r\n" + form, form + get + hot(), hot() + "GE", refresh + "}" + hot(),
		hot("Transfer-Encoding: chunked") + "0\r\n\r\n" + hot(), refresh[:len(refresh)-3],
		hot("Expect: 100-continue") + hot(), hot("X-Shape: c") + hot(),
	} {
		for i := 1; i < len(text); i++ {
			e := splitAt([]byte(text), i)
			e.pause = time.Millisecond
			compare(t, plain, withLane, e)
		}
		bytes := exchange{pause: 200 * time.Microsecond}
		for i := range text {
			bytes.pieces = append(bytes.pieces, []byte(text[i:i+1]))
		}
		compare(t, plain, withLane, bytes)
	}
}

// FuzzLane sends a stream, cut at two offsets, to a server on net/http alone and to one with the lane, and then the
// same with one more request. The clients of both must get the same bytes, and the handlers must see the same requests.
func FuzzLane(f *testing.F) {
	for i, text := range streams() {
		f.Add([]byte(text), uint16(i), uint16(0), i%8 == 0)
	}
	plain, withLane := startSides(f, http.HandlerFunc(shapes))
	f.Fuzz(func(t *testing.T, text []byte, first, second uint16, slow bool) {
		e := splitAt(text, int(first), int(second))
		if slow {
			e.pause = 200 * time.Microsecond
		}
		compareState(t, plain, withLane, e)
	})
}
