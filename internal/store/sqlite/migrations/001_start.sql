CREATE TABLE user (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  login         TEXT    NOT NULL,
  login_folded  TEXT    NOT NULL UNIQUE, -- lower case: a login is unique without regard to case
  password_hash TEXT    NOT NULL,        -- PHC string
  email         TEXT    NOT NULL,
  first_name    TEXT    NOT NULL,
  last_name     TEXT    NOT NULL,
  network_id    INTEGER NOT NULL,
  mailbox_id    INTEGER NOT NULL,
  level         INTEGER NOT NULL,
  status        INTEGER NOT NULL,
  created       INTEGER NOT NULL         -- Unix seconds, as all times
) STRICT;
CREATE INDEX user_place ON user (network_id, mailbox_id);

-- One row for each live session. A refresh changes columns that no index has.
CREATE TABLE session (
  id         BLOB    PRIMARY KEY,  -- 16 random bytes
  user_id    INTEGER NOT NULL REFERENCES user (id),
  generation INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  refreshed  INTEGER NOT NULL,
  previous   INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  ends       INTEGER NOT NULL,
  retry_key  BLOB    NOT NULL,     -- 16 bytes, or none
  ip         TEXT    NOT NULL,
  user_agent TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user_id);

CREATE TABLE api_key (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id    INTEGER NOT NULL REFERENCES user (id),
  hash       BLOB    NOT NULL UNIQUE, -- SHA-256
  visibility INTEGER NOT NULL,
  is_primary INTEGER NOT NULL,
  session_id BLOB,                    -- the session that the key dies with, or NULL
  mask       TEXT    NOT NULL,
  created    INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_user ON api_key (user_id);
CREATE INDEX api_key_session ON api_key (session_id) WHERE session_id IS NOT NULL;

CREATE TABLE signing_key (
  rank INTEGER PRIMARY KEY AUTOINCREMENT, -- the highest signs
  id   TEXT NOT NULL UNIQUE,
  jwk  TEXT NOT NULL
) STRICT;
