package console

import "strings"

// describeAgent returns a user agent in a few words, such as "Firefox on Windows". It returns the beginning of an
// unknown one as it is.
func describeAgent(agent string) string {
	if agent == "" {
		return t("agent.none")
	}
	browser := firstMatch(agent, [][2]string{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Wget/", "Wget"}, {"python-requests/", "Python"},
		{"Python-urllib/", "Python"}, {"node", "Node.js"}, {"okhttp/", "OkHttp"}, {"Go-http-client/", "Go"},
		{"PostmanRuntime/", "Postman"}, {"Java/", "Java"}, {"PowerShell/", "PowerShell"},
	})
	if browser == "" {
		const maxUnknown = 40
		if runes := []rune(agent); len(runes) > maxUnknown {
			return string(runes[:maxUnknown]) + "…"
		}
		return agent
	}
	system := firstMatch(agent, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"CrOS", "ChromeOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
	})
	if system == "" {
		return browser
	}
	return t("agent.on", browser, system)
}

// firstMatch returns the name of the first mark that the text contains, or "". Each pair is a mark and a name.
func firstMatch(text string, pairs [][2]string) string {
	for _, pair := range pairs {
		if strings.Contains(text, pair[0]) {
			return pair[1]
		}
	}
	return ""
}
