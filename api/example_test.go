package api_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pawlauth/pawl/api"
)

// A response below /v2 is an Envelope. Read its data only on success.
func ExampleEnvelope() {
	responses := []string{
		`{"success":true,"data":{"token":"a.b.c","expiresAt":"2026-05-07T20:00:00Z","userId":4821},` +
			`"errorCode":"","message":""}`,
		`{"success":false,"data":null,"errorCode":"InvalidSession",` +
			`"message":"The token is not valid any more; sign in again."}`,
	}
	for _, response := range responses {
		var envelope api.Envelope[api.Token]
		if err := json.Unmarshal([]byte(response), &envelope); err != nil {
			fmt.Println(err)
			return
		}
		switch {
		case envelope.Success:
			fmt.Println("token of user", envelope.Data.UserID)
		case envelope.ErrorCode == api.CodeInvalidSession:
			fmt.Println("sign in again")
		}
	}
	// Output:
	// token of user 4821
	// sign in again
}

// A Time is a time.Time with whole seconds in UTC on the wire.
func ExampleTime() {
	berlin := time.FixedZone("CEST", 2*60*60)
	from := api.NewTime(time.Date(2026, 5, 7, 22, 0, 0, 500, berlin))
	fmt.Println(from)
	fmt.Println(from.Add(time.Hour).Format(time.Kitchen))
	// Output:
	// 2026-05-07T20:00:00Z
	// 9:00PM
}

// The constants of this package are the values of the fields.
func ExampleUpdateUserRequest() {
	status := api.StatusSuspended
	body, err := json.Marshal(api.UpdateUserRequest{UserID: 4821, Status: &status})
	fmt.Println(string(body), err)
	// Output: {"userId":4821,"status":"Suspended"} <nil>
}
