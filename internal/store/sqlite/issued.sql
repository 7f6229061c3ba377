-- One row with the highest iat of a token, to within a few seconds.
CREATE TABLE issued (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  second INTEGER NOT NULL
) STRICT;
INSERT INTO issued VALUES (1, 0);
