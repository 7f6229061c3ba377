package sqlite

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// firstFile writes a file of the first schema, with one user and one session at generation 3. Its row of the rotation
// log has one record of that time.
func firstFile(t *testing.T, dir string, id token.SessionID) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	first := sqlitemigration.Schema{AppID: applicationID, Migrations: migrations[:1]}
	if err := sqlitemigration.Migrate(context.Background(), conn, first); err != nil {
		t.Fatal(err)
	}
	const state = 2 // the kind of a record without flags
	row := append([]byte{1, state}, id[:]...)
	row = binary.LittleEndian.AppendUint64(row, 1)
	for _, n := range []uint32{3, testNow, testNow + 20, testNow + 10, testNow + 3620, testNow + 10_000} {
		row = binary.LittleEndian.AppendUint32(row, n)
	}
	row = append(row, make([]byte, 4044-len(row))...)
	row = binary.LittleEndian.AppendUint32(row, crc32.Checksum(row, crc32.MakeTable(crc32.Castagnoli)))
	for _, err := range []error{
		execute(conn, `INSERT INTO user (id, login, login_folded, password_hash, email, first_name, last_name,
			network_id, mailbox_id, level, status, created) VALUES (1, 'a', 'a', 'hash', '', '', '', 1, 1, 7, 2, 5)`),
		execute(conn, "INSERT INTO session (id, user_id, created, ip, user_agent) VALUES (?, 1, ?, '192.0.2.1', '')",
			id[:], int64(testNow)),
		execute(conn, "INSERT INTO rotation_log (slot, seq, records) VALUES (1, 1, ?)", row),
		conn.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpgradeOfSessions opens a file of the first schema. Its session can be refreshed until its token's exp, because
// there was no other idle time, and gets an idle time with the next refresh.
func TestUpgradeOfSessions(t *testing.T) {
	dir, id := t.TempDir(), token.SessionID{7, 15: 7}
	firstFile(t, dir, id)
	s := mustOpen(t, dir)
	want := authority.Session{
		ID: id, UserID: 1, Generation: 3, Created: testNow, Refreshed: testNow + 20, Previous: testNow + 10,
		Expires: testNow + 3620, Idle: testNow + 3620, Ends: testNow + 10_000,
	}
	if got, err := s.Session(t.Context(), id); err != nil || got.Session != want {
		t.Fatalf("session %+v, %v; want %+v", got.Session, err, want)
	}
	r := authority.Rotation{Session: id, From: 3, At: want.Idle, Lives: authority.Lives{Token: 60, Idle: 600}}
	if _, rotated, err := s.Rotate(t.Context(), r); rotated || err != nil {
		t.Errorf("past the exp: rotated %v, %v", rotated, err)
	}
	r.At--
	got, rotated, err := s.Rotate(t.Context(), r)
	if !rotated || err != nil || got.Session.Expires != r.At+60 || got.Session.Idle != r.At+600 {
		t.Errorf("before the exp: rotated %v to %+v, %v", rotated, got.Session, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := mustOpen(t, dir).Session(t.Context(), id)
	if err != nil || again.Session != got.Session {
		t.Errorf("session %+v after a restart, %v; want %+v", again.Session, err, got.Session)
	}
}
