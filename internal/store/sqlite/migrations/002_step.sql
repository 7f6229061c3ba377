-- Where each session is since its login: a log of moves and ends, packed
-- (record.go), which goes over the session's row. The log is cut into rows of
-- one size. The oldest row makes way for the newest in its slot, so a step
-- writes one page and the table is as long as the log was at its longest.
CREATE TABLE step (
  slot    INTEGER PRIMARY KEY,
  seq     INTEGER NOT NULL, -- one more for each row that was begun, without a gap
  records BLOB    NOT NULL
) STRICT;
