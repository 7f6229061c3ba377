package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// Inspect reads what a node needs of a store, and changes nothing. Nodes may use the store at the same time. It returns
// storecopy.ErrMissing, storecopy.ErrIncomplete and storecopy.ErrNoAdministrator as Check does.
func Inspect(ctx context.Context, c Config) (found storecopy.Inspection, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, l, err := newBulkPool(ctx, c)
	if err != nil {
		return found, err
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return found, explainConnect(err)
	}
	defer conn.Release()
	if found.Latest, err = latestVersion(); err != nil {
		return found, err
	}
	if found.Schema, err = schemaVersion(ctx, conn.Conn()); err != nil {
		return found, explainConnect(err)
	}
	if found.Schema == 0 {
		return found, storecopy.ErrMissing
	}
	if err := requireUsable(ctx, conn); err != nil {
		return found, explainConnect(err)
	}
	if len(l.shards) > 0 {
		if _, err := checkServers(ctx, conn.Conn()); err != nil {
			return found, err
		}
		found.Layout = fmt.Sprintf("Citus with %d shards, coordinator %s", len(l.shards), l.coordinator)
	}
	rows, err := conn.Query(ctx, "SELECT id, jwk FROM pawl.signing_key WHERE retired_at = 0 ORDER BY rank DESC")
	if err != nil {
		return found, explainConnect(err)
	}
	found.SigningKeys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k keyring.SigningKey, err error) {
		return k, row.Scan(&k.ID, &k.JWK)
	})
	return found, explainConnect(err)
}
