-- The schema of Pawl's SQLite file. All times are Unix seconds.

CREATE TABLE user (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  login         TEXT    NOT NULL,
  login_folded  TEXT    NOT NULL UNIQUE, -- the prepared form (prepare.Login), in which logins are unique
  password_hash TEXT    NOT NULL,        -- PHC string
  session_epoch INTEGER NOT NULL DEFAULT 0, -- goes up by one when all sessions of the user end
  email         TEXT    NOT NULL,
  first_name    TEXT    NOT NULL,
  last_name     TEXT    NOT NULL,
  network_id    INTEGER NOT NULL,
  mailbox_id    INTEGER NOT NULL,
  level         INTEGER NOT NULL,
  status        INTEGER NOT NULL,
  created       INTEGER NOT NULL
) STRICT;
CREATE INDEX user_tenant ON user (network_id, mailbox_id);

-- One row for each session, with what a refresh does not change. The rotation log has the state of the session.
CREATE TABLE session (
  id         BLOB    PRIMARY KEY,  -- 16 random bytes
  user_id    INTEGER NOT NULL REFERENCES user (id),
  epoch      INTEGER NOT NULL DEFAULT 0, -- the user's session_epoch at the sign-in; ended if it is lower
  created    INTEGER NOT NULL,
  ip         TEXT    NOT NULL,
  user_agent TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user_id, epoch);

-- The users who may have sessions of ended epochs, which the sweep has not removed yet.
CREATE TABLE session_purge (
  user_id INTEGER PRIMARY KEY REFERENCES user (id),
  epoch   INTEGER NOT NULL -- the user's session_epoch
) STRICT;

-- The rotation log: the states of the sessions, packed into rows of one size. The newest row takes the slot of the
-- oldest row that is no longer needed, so a commit writes one page, and the table never shrinks or grows much.
CREATE TABLE rotation_log (
  slot    INTEGER PRIMARY KEY,
  seq     INTEGER NOT NULL, -- counts the rows since the first one, without a gap
  records BLOB    NOT NULL  -- see internal/sessionlog/record.go
) STRICT;

CREATE TABLE api_key (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id    INTEGER NOT NULL REFERENCES user (id),
  hash       BLOB    NOT NULL UNIQUE, -- SHA-256
  visibility INTEGER NOT NULL,
  is_primary INTEGER NOT NULL,
  session_id BLOB,                    -- the session whose end deletes the key, or NULL
  mask       TEXT    NOT NULL,
  created    INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_user ON api_key (user_id, session_id);
CREATE INDEX api_key_session ON api_key (session_id) WHERE session_id IS NOT NULL;

CREATE TABLE signing_key (
  rank      INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which the keys were added
  id        TEXT    NOT NULL UNIQUE,
  jwk       TEXT    NOT NULL,                  -- empty once the key is retired
  published INTEGER NOT NULL,
  signs     INTEGER NOT NULL,                  -- when the key becomes the one that signs
  retired   INTEGER NOT NULL                   -- 0 until the key is retired
) STRICT;

-- The failure counters of sign-ins.
CREATE TABLE failure_counter (
  account BLOB    NOT NULL, -- a hash of the login; zero in the counter of an address over all accounts
  address TEXT    NOT NULL, -- an IPv4 address or an IPv6 /64; '' in the counter of an account over all addresses
  failed  INTEGER NOT NULL,
  last    INTEGER NOT NULL,
  forget  INTEGER NOT NULL, -- when the counter expires
  PRIMARY KEY (account, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX failure_counter_forget ON failure_counter (forget);

-- The audit events, kept for --audit-age.
CREATE TABLE event (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  user_id    INTEGER NOT NULL, -- the user that the event is about; 0 if unknown
  session_id BLOB,
  caller_id  INTEGER NOT NULL, -- the user that caused the event; 0 if unknown
  address    TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  detail     TEXT    NOT NULL
) STRICT;
CREATE INDEX event_at ON event (at);
CREATE INDEX event_user ON event (user_id, at);

-- Has one row while the store is the target of an unfinished copy.
CREATE TABLE copying (mark INTEGER PRIMARY KEY) STRICT;
