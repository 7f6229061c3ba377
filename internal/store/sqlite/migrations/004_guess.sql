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
