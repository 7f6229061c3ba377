-- Where each session is since its login: a log of moves and ends, packed
-- (record.go). What it says of a session goes over the session's row.
CREATE TABLE step (
  seq     INTEGER PRIMARY KEY, -- without a gap
  records BLOB    NOT NULL
) STRICT;
