package pawltest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// A test gets a server of its own. The server ends with the test.
func ExampleNew() {
	_ = func(t *testing.T) { // in a real test, func TestAdminSeesUsers(t *testing.T)
		server := pawltest.New(t, pawltest.WithTokenLife(5*time.Minute))
		admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
		user, err := admin.User(t.Context(), pawltest.UserID)
		if err != nil || user.Login != pawltest.Login {
			t.Errorf("user %v, %v", user, err)
		}
	}
}

// An Example has no testing.TB, so it uses Start. The clock moves only when the program moves it.
func ExampleStart() {
	dir, err := os.MkdirTemp("", "pawl")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server := pawltest.Start(dir, pawltest.WithTokenLife(time.Hour))
	defer server.Close()

	ctx := context.Background()
	token, err := server.Client().Login(ctx, pawltest.Login, pawltest.Password)
	if err != nil {
		fmt.Println(err)
		return
	}
	caller := server.Client(client.WithBearer(token.Token))
	info, err := caller.Session(ctx)
	fmt.Println(info.UserID, info.AuthLevel, err)

	server.Clock.Add(time.Hour)
	_, err = caller.Session(ctx)
	fmt.Println("expired:", errors.Is(err, client.ErrInvalidSession))
	// Output:
	// 4821 MailboxAdmin <nil>
	// expired: true
}
