package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout is for each host, unless the DSN has another one. One try has time for two hosts.
	connectTimeout = hotTimeout / 2
	// pingTimeout is for an idle connection, because its server may have disappeared.
	pingTimeout = 500 * time.Millisecond
	// maxConnections is the size of a node's pool, unless the DSN has another one.
	maxConnections = 12
	// minPoolSize is what a start needs: one connection holds the lock of the migrations, and another one runs them.
	minPoolSize = 2
)

var errDSN = errors.New("the address of the database cannot be read: write it as " +
	"postgres://pawl:PASSWORD@db1,db2/pawl?sslmode=verify-full, with # / ? @ in the password as %23 %2F %3F %40, " +
	"or keep the password in a PGPASSFILE")

// ParseConfig returns a Config for a DSN. Open does not parse the DSN again. The error names a faulty parameter, and
// never quotes text that may be a part of a password.
func ParseConfig(dsn string) (Config, error) {
	pool, err := parseDSN(dsn)
	return Config{DSN: dsn, pool: pool}, err
}

// parseDSN returns the configuration of a pool for a DSN. The DSN must be a URL. If the DSN names several hosts, the
// pool connects to the writable one, even if target_session_attrs permits a replica: a replica may not have the end of
// a session yet.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil && strings.Contains(dsn, "@") || strings.Count(dsn, "@") > 1 || u.Fragment != "" {
		return nil, errDSN
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errDSN
	}
	for name := range query {
		single := "postgres://host/database?" + url.Values{name: query[name]}.Encode()
		if _, err := pgxpool.ParseConfig(single); err != nil {
			return nil, fmt.Errorf(
				"the address of the database cannot be read: the value of its parameter %q is not allowed", name)
		}
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN // the error of pgx may quote a part of the password
	}
	if !query.Has("pool_max_conns") {
		config.MaxConns = maxConnections
	}
	config.MaxConns = max(config.MaxConns, minPoolSize)
	config.PingTimeout = pingTimeout
	connection := config.ConnConfig
	const pgxDefault = 2 * time.Minute
	if connection.ConnectTimeout == 0 || connection.ConnectTimeout >= pgxDefault {
		connection.ConnectTimeout = connectTimeout
	}
	connection.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if connection.RuntimeParams["application_name"] == "" {
		connection.RuntimeParams["application_name"] = "pawl"
	}
	connection.RuntimeParams["client_encoding"] = "UTF8" // also if the database has another default
	connection.OnNotice = markCancelledWait
	return config, nil
}
