package api

// AddReceiverRequest is the body of POST /v2/receivers/add.
type AddReceiverRequest struct {
	URL      string `json:"url"`
	Audience string `json:"audience,omitzero"` // aud of the tokens; empty means the URL
	// Authorization is the value of the header of that name in each delivery. The server keeps it encrypted with its
	// master key, and never returns it.
	Authorization string `json:"authorization,omitzero"`
}

// Receiver is a system that gets a security event token (RFC 8417) when a session ends.
type Receiver struct {
	ReceiverID    string `json:"receiverId"`
	URL           string `json:"url"`
	Audience      string `json:"audience"`
	Authorization bool   `json:"authorization"` // each delivery has the header
	Created       Time   `json:"created"`
	Delivered     int64  `json:"delivered"`     // tokens that the receiver has accepted
	LastDelivered *Time  `json:"lastDelivered"` // nil if there is none
	Rejected      int64  `json:"rejected"`      // tokens that the receiver has rejected, and will not get again
	Failures      int64  `json:"failures"`      // failed attempts since the last success
	PendingSince  *Time  `json:"pendingSince"`  // the time of the event that is tried again; nil if there is none
	LastError     string `json:"lastError"`     // of the last failure or rejection; empty if there was none
	LastErrorAt   *Time  `json:"lastErrorAt"`   // nil if there was none
}

// ReceiverRequest is the body of DELETE /v2/receivers and of POST /v2/receivers/test.
type ReceiverRequest struct {
	ReceiverID string `json:"receiverId"`
}

// ReceiverTest is the result of POST /v2/receivers/test.
type ReceiverTest struct {
	Accepted bool   `json:"accepted"`
	Status   int    `json:"status"`  // of the response; 0 without one
	Problem  string `json:"problem"` // empty if the receiver has accepted the token
}
