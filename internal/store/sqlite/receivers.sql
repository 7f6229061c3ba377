-- The systems that get a security event token when a session ends, and how far the delivery to each has come.
CREATE TABLE receiver (
  rank          INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which the receivers were added
  id            TEXT    NOT NULL UNIQUE,
  url           TEXT    NOT NULL,
  audience      TEXT    NOT NULL,
  auth_sealed   TEXT    NOT NULL,           -- the Authorization header, sealed with the master key, or ''
  created       INTEGER NOT NULL,
  last_event    INTEGER NOT NULL,           -- the id of the last event that needs no delivery any more
  delivered     INTEGER NOT NULL DEFAULT 0,
  delivered_at  INTEGER NOT NULL DEFAULT 0,
  rejected      INTEGER NOT NULL DEFAULT 0,
  failures      INTEGER NOT NULL DEFAULT 0, -- since the last success
  pending_at    INTEGER NOT NULL DEFAULT 0, -- the time of the event that is being tried again, or 0
  error         TEXT    NOT NULL DEFAULT '',
  error_at      INTEGER NOT NULL DEFAULT 0,
  lease_node    TEXT    NOT NULL DEFAULT '',
  lease_until   INTEGER NOT NULL DEFAULT 0  -- Unix milliseconds
) STRICT;
