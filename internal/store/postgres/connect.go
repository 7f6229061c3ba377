package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 2 * time.Second  // for each host, where the DSN says nothing
	openTimeout    = 30 * time.Second // for connecting and migrating at start
	maxConnections = 12               // of one node, where the DSN says nothing
	// fewestConnections is what a start needs: the migrations have one beside
	// the one that holds their lock.
	fewestConnections = 2
)

// poolConfig reads a DSN, a URL. Several hosts may be named; whichever of them can be written to is used.
func poolConfig(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the store's address cannot be read: %w; it looks like postgres://pawl:PASSWORD@db1,db2/pawl?target_session_attrs=read-write", err)
	}
	connect := config.ConnConfig
	if unset := 2 * time.Minute; connect.ConnectTimeout == 0 || connect.ConnectTimeout >= unset {
		connect.ConnectTimeout = connectTimeout
	}
	if connect.ValidateConnect == nil {
		connect.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if connect.RuntimeParams["application_name"] == "" {
		connect.RuntimeParams["application_name"] = "pawl"
	}
	if named, err := pgx.ParseConfig(dsn); err != nil || named.RuntimeParams["pool_max_conns"] == "" {
		config.MaxConns = maxConnections
	}
	config.MaxConns = max(config.MaxConns, fewestConnections)
	config.AfterConnect = durable
	return config, nil
}

// CheckDSN returns an error for a DSN that cannot be read. It never quotes it.
func CheckDSN(dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil && strings.Contains(dsn, "@") || u.Fragment != "" {
		return errors.New("the address of the database cannot be read: write # / ? @ in a password as %23 %2F %3F %40, or keep the password in a PGPASSFILE")
	}
	_, err = poolConfig(dsn)
	return err
}

// durable makes sure that a commit is on disk before it is answered, whatever
// the database's default is: what is stricter than "on" stays.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// explainConnect says what to do when the store cannot be opened.
func explainConnect(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && (refused.Code == "28P01" || refused.Code == "28000"):
		return fmt.Errorf("the database refuses the user or the password: %w; check both in the store's address", err)
	case ok && refused.Code == "3D000":
		return fmt.Errorf("there is no such database: %w; make it with createdb", err)
	case ok && refused.Code == codeInsufficientPrivilege:
		return needsRights(err)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the database cannot be reached: %w; check the host and the port, and that one of the hosts can be written to", err)
	}
	return err
}
