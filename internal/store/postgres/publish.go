package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// A transaction writes what it supersedes or ends to pawl.revocation, and every node reads the rows of all nodes
// (follow.go). It does so only while a node needs the rows: pawl.feed has the time until which one does, and the
// statement that writes a row compares it.
//
// NOTIFY would need no table, but PostgreSQL then runs the commits of all notifying transactions one after the other,
// each with its own write to the disk (docs/benchmarks.md).

// feedProbe reports whether the engine has what the feed needs: numbers of transactions, and snapshots that tell which
// of them have committed. YugabyteDB has the functions, but its transactions have no such numbers.
const feedProbe = `SELECT CASE WHEN version() LIKE '%-YB-%' THEN false
	ELSE pg_visible_in_snapshot(pg_current_xact_id(), pg_current_snapshot()) IS NOT NULL END`

var errNoFeed = errors.New("verify-staleness needs the feed of changes, which this store does not have, " +
	"because its database had no pg_current_xact_id or no pg_current_snapshot: set it to 0")

// hasFeedTables reports whether the schema has the tables of the feed, or is of a version before them. A schema that
// was created without them stays so, even if the engine has what the feed needs by now, because a node that started
// before does not write its changes to them.
func (s *Store) hasFeedTables(ctx context.Context) (has bool, err error) {
	version, err := s.schemaVersion(ctx)
	if err != nil || version < feedMigrations[0] {
		return true, err
	}
	err = s.bulk.pool.QueryRow(ctx, "SELECT to_regclass('pawl.revocation') IS NOT NULL").Scan(&has)
	return has, err
}

// probeFeed sets noFeed. An engine without the feed is used without it.
func (s *Store) probeFeed(ctx context.Context, c Config) error {
	var has bool
	err := s.bulk.pool.QueryRow(ctx, feedProbe).Scan(&has)
	if isUnsupported(err) {
		has, err = false, nil
	}
	if err == nil && has {
		has, err = s.hasFeedTables(ctx)
	}
	if err != nil || has {
		return err
	}
	s.noFeed = true
	s.feed.Refuse()
	if c.Staleness > 0 {
		return errNoFeed
	}
	s.log.InfoContext(ctx, "the store does not have the feed of revocations")
	return nil
}

const (
	// publishing is the condition that a node needs the rows.
	publishing = "(SELECT until > now() FROM pawl.feed)"
	publishSQL = "INSERT INTO pawl.revocation (changes) SELECT unnest($1::bytea[]) WHERE " + publishing
	// publishRotated writes rows with the changes of the sessions in "rotated", at most changesInRow in each. The
	// ordinals of a batch are from 1.
	publishRotated = `INSERT INTO pawl.revocation (changes)
		SELECT string_agg(uuid_send(rotated_id) || int8send(rotated_generation), ''::bytea) FROM rotated
		WHERE ` + publishing + ` GROUP BY (ordinal - 1) / 256`
)

const (
	changeSize   = 24
	changesInRow = 256 // a row must fit into a page of 8 kB, because its storage is plain
)

// The numbers of a change of a user, instead of the generation of a session. The uuid has the second and the user's ID.
const (
	userRevoked = -1 // the user's tokens issued before the second have ended
	userTouched = -2 // the user's row has changed, and no token is affected
)

// publish writes changes within a transaction.
func (s *Store) publish(ctx context.Context, tx pgx.Tx, changes ...revocation.Change) error {
	var rows [][]byte
	for page := range slices.Chunk(changes, changesInRow) {
		row := make([]byte, 0, len(page)*changeSize)
		for _, c := range page {
			row = appendChange(row, c)
		}
		rows = append(rows, row)
	}
	return s.publishRows(ctx, tx, rows)
}

// publishTouched writes that the row of a user has changed. It is for the memory of the nodes alone.
func (s *Store) publishTouched(ctx context.Context, tx pgx.Tx, userID int64) error {
	return s.publishRows(ctx, tx, [][]byte{appendUser(nil, userID, 0, userTouched)})
}

func (s *Store) publishRows(ctx context.Context, tx pgx.Tx, rows [][]byte) error {
	if len(rows) == 0 || s.noFeed {
		return nil
	}
	_, err := tx.Exec(ctx, publishSQL, rows)
	return err
}

func appendChange(row []byte, c revocation.Change) []byte {
	if c.Session == (token.SessionID{}) {
		return appendUser(row, c.UserID, c.Before, userRevoked)
	}
	return binary.BigEndian.AppendUint64(append(row, c.Session[:]...), uint64(c.Generation))
}

func appendUser(row []byte, userID, second, number int64) []byte {
	row = binary.BigEndian.AppendUint64(row, uint64(second))
	row = binary.BigEndian.AppendUint64(row, uint64(userID))
	return binary.BigEndian.AppendUint64(row, uint64(number))
}

// changesOf returns the changes of a row, and the users that were only touched.
func changesOf(row []byte) (changes []revocation.Change, touched []int64) {
	for ; len(row) >= changeSize; row = row[changeSize:] {
		second, userID := binary.BigEndian.Uint64(row), int64(binary.BigEndian.Uint64(row[8:]))
		switch number := int64(binary.BigEndian.Uint64(row[16:])); number {
		case userRevoked:
			changes = append(changes, revocation.UserChanged(userID, int64(second)))
		case userTouched:
			touched = append(touched, userID)
		default:
			changes = append(changes, revocation.SessionRotated(token.SessionID(row[:16]), uint32(number)))
		}
	}
	return changes, touched
}
