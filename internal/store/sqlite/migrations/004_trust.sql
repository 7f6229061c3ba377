-- Failed guesses of passwords, in a row.
CREATE TABLE guess (
  account BLOB    NOT NULL, -- a hash of the login; zero for an address over all accounts
  address TEXT    NOT NULL, -- an IPv4 address or an IPv6 /64; '' for an account over all addresses
  failed  INTEGER NOT NULL,
  last    INTEGER NOT NULL,
  forget  INTEGER NOT NULL, -- when the row is as good as not there
  PRIMARY KEY (account, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX guess_forget ON guess (forget);

-- The audit: what happened, for as long as --audit-age.
CREATE TABLE event (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  user_id    INTEGER NOT NULL, -- whom it is about; 0 for nobody who is known
  session_id BLOB,
  caller_id  INTEGER NOT NULL, -- who did it; 0 for nobody who is known
  address    TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  detail     TEXT    NOT NULL
) STRICT;
CREATE INDEX event_at ON event (at);
CREATE INDEX event_user ON event (user_id, at);
