-- One row, which shows that a write-ahead log belongs to this file; see walmark.go.
CREATE TABLE wal_mark (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  salts BLOB    NOT NULL -- the mark before the present one, and the present one
) STRICT;
INSERT INTO wal_mark VALUES (1, randomblob(16));
