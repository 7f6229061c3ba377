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
	connectTimeout = shortTimeout / 2       // for each host, where the DSN says nothing: a try has time for the second
	pingTimeout    = 500 * time.Millisecond // for a connection that was idle: a server may have gone without a word
	openTimeout    = 30 * time.Second       // for connecting and migrating at start
	maxConnections = 12                     // of one node, where the DSN says nothing
	// fewestConnections is what a start needs: the migrations have one beside
	// the one that holds their lock.
	fewestConnections = 2
)

// poolConfig reads a DSN, a URL. Several hosts may be named; whichever of them
// can be written to is used, whatever target_session_attrs says: a replica
// would not know yet that a session has ended.
func poolConfig(dsn string) (*pgxpool.Config, error) {
	if err := checkDSN(dsn); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN // and not pgx's: it may quote a part of a password
	}
	connect := config.ConnConfig
	if unset := 2 * time.Minute; connect.ConnectTimeout == 0 || connect.ConnectTimeout >= unset {
		connect.ConnectTimeout = connectTimeout
	}
	connect.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if connect.RuntimeParams["application_name"] == "" {
		connect.RuntimeParams["application_name"] = "pawl"
	}
	connect.OnNotice = markWarning
	if named, err := pgx.ParseConfig(dsn); err != nil || named.RuntimeParams["pool_max_conns"] == "" {
		config.MaxConns = maxConnections
	}
	config.MaxConns = max(config.MaxConns, fewestConnections)
	config.PingTimeout = pingTimeout
	return config, nil
}

var errDSN = errors.New("the address of the database cannot be read; it looks like postgres://pawl:PASSWORD@db1,db2/pawl?sslmode=verify-full: write # / ? @ in a password as %23 %2F %3F %40, or keep it in a PGPASSFILE")

// checkDSN returns an error for a DSN that cannot be read. It names a faulty
// parameter, and never quotes what could be a part of a password.
func checkDSN(dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil && strings.Contains(dsn, "@") || strings.Count(dsn, "@") > 1 || u.Fragment != "" {
		return errDSN
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errDSN
	}
	for name := range query {
		if _, err := pgxpool.ParseConfig("postgres://host/database?" + url.Values{name: query[name]}.Encode()); err != nil {
			return fmt.Errorf("the address of the database cannot be read: the value of its parameter %q is not allowed", name)
		}
	}
	return nil
}

// ParseConfig returns a Config for a DSN, which Open does not parse again. The error never contains the password.
func ParseConfig(dsn string) (Config, error) {
	pool, err := poolConfig(dsn)
	return Config{DSN: dsn, pool: pool}, err
}

// newPool opens a pool for a node, or for one who wants the database alone.
func newPool(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	if c.pool == nil {
		parsed, err := ParseConfig(c.DSN)
		if err != nil {
			return nil, err
		}
		c.pool = parsed.pool
	}
	config := c.pool.Copy()
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := prepareConnection(ctx, conn); err != nil || c.Alone {
			return err
		}
		return beOneOfMany(ctx, conn)
	}
	config.MinConns = 1 // one at least holds the lock
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the store's address cannot be used: %w", err)
	}
	return pool, nil
}

// prepareConnection makes each connection behave as the statements rely on,
// whatever the database's defaults are: a commit is on disk before it is
// answered (what is stricter than "on" stays), a statement sees what has been
// committed before it, no wait for a lock is as long as a try, and a node that
// has vanished inside a transaction does not keep its locks.
//
// A setting that the engine does not know is passed over.
func prepareConnection(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES
			('synchronous_commit', 'on'), ('default_transaction_isolation', 'read committed'), ('lock_timeout', $1),
			('idle_in_transaction_session_timeout', $2), ('tcp_keepalives_idle', $2)
		) AS w (name, value) ON s.name = w.name WHERE s.name <> 'synchronous_commit' OR s.setting = 'off'`,
		milliseconds(lockTimeout), milliseconds(idleTimeout))
	delete(conn.PgConn().CustomData(), warned) // of what the server says to everybody at the start
	return err
}

const (
	lockTimeout = stepTimeout - time.Second
	idleTimeout = 2 * stepTimeout // of a transaction that waits for its node
)

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) + "ms" }

// warned is the mark of a connection whose commit was called done though its
// wait for the standby was cut short: nobody may be told that it is. The server
// says so in a warning, by its routine: the text is in the operator's language.
// A warning of another routine is none of ours: of transaction ids that run out
// the server warns at every commit, long before it refuses any.
const warned = "warned"

func markWarning(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && (n.Routine == "SyncRepWaitForLSN" || n.Routine == "") {
		conn.CustomData()[warned] = true
	}
}

// warning returns an error if a connection has the mark.
func warning(conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[warned] != nil {
		return errWarned
	}
	return nil
}

var errWarned = errors.New("the wait for the standby was cancelled: the step may be on one machine only")

// explainConnect says what to do when the store cannot be opened.
func explainConnect(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && (refused.Code == "28P01" || refused.Code == "28000"):
		return fmt.Errorf("the database refuses the user or the password: %w; check both in the store's address", err)
	case ok && refused.Code == "3D000":
		return fmt.Errorf("there is no such database: %w; make it with createdb", err)
	case ok && refused.Code == codeInsufficientPrivilege:
		return fmt.Errorf("the database user may not do what Pawl needs: %w; grant it CREATE on the database, or ALL on the schema pawl and its tables", err)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the database cannot be reached: %w; check the host and the port, and that one of the hosts can be written to", err)
	}
	return err
}
