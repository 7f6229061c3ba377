// Package revocation reports which tokens were superseded or ended, in order, to those who verify tokens themselves.
//
// A [Table] is what a verifier keeps of the reports.
package revocation
