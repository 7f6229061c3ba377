// Package generators_test proves that tools of other projects work with Pawl: client generators read openapi.yaml, and
// their clients sign in, refresh and sign out on a live server. OAuth client libraries keep sessions, and introspect
// and revoke tokens.
//
// The tools are pinned outside of the main module: those from npm in npm/package-lock.json, and those in Go in the
// module in the folder golang. authlib is the package of Debian. A test is skipped, with the reason, where its tools
// cannot be downloaded or are missing.
package generators_test
