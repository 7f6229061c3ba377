// Package revocation reports which tokens were superseded or ended, in order, to those who verify tokens themselves.
//
// A [Feed] sends the reports of one node to its subscribers (GET /v2/revocations), in the form of change.go and
// event.go. A [Table] is what a verifier keeps of the reports.
package revocation
