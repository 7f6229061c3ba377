-- The assertions that have opened a session, until they expire.
CREATE TABLE used_assertion (
  id      BLOB    PRIMARY KEY, -- a hash of the issuer and the jti
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_assertion_expires ON used_assertion (expires);
