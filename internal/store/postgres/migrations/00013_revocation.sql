-- +goose Up
-- What each commit superseded or ended, for the feeds of the nodes and for
-- their memory of sessions. A node reads the new rows several times a second,
-- and rows are removed after half a minute. A crash or a failover empties the
-- table; each node then begins a new epoch of its feed.
CREATE UNLOGGED TABLE IF NOT EXISTS pawl.revocation (
  xid     xid8  NOT NULL DEFAULT pg_current_xact_id(),
  changes bytea NOT NULL -- 24 bytes for each: a uuid and a bigint
);
ALTER TABLE pawl.revocation ALTER COLUMN changes SET STORAGE PLAIN;
CREATE INDEX IF NOT EXISTS revocation_xid ON pawl.revocation (xid);

-- One row: until when commits write to pawl.revocation. Nodes that need the
-- rows move it on.
CREATE TABLE IF NOT EXISTS pawl.feed (until timestamptz NOT NULL);
INSERT INTO pawl.feed SELECT 'epoch' WHERE NOT EXISTS (SELECT 1 FROM pawl.feed);
