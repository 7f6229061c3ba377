package api

// Event is something that happened, as GET /v2/audit shows it. What is not
// known is nil or empty.
type Event struct {
	EventID   int64   `json:"eventId"`
	Time      Time    `json:"time"`
	Kind      string  `json:"kind"`
	UserID    *int64  `json:"userId"`
	SessionID *string `json:"sessionId"`
	CallerID  *int64  `json:"callerId"`
	Address   string  `json:"address"`
	RequestID string  `json:"requestId"`
	Detail    string  `json:"detail"`
}

// AuditRequest picks events; it is the query of GET /v2/audit. Zero fields
// match all; a zero PageNo means 1 and a zero RecordsPerPage means 25.
type AuditRequest struct {
	UserID         int64
	Kind           string
	SessionID      string
	From, To       Time // both included
	PageNo         int64
	RecordsPerPage int64 // at most 500
}
