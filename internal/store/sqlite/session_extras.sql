-- Idle times, devices and extras of sessions. The rotation log has new kinds of records, see
-- internal/sessionlog/record.go.

ALTER TABLE session ADD COLUMN device TEXT NOT NULL DEFAULT '';

-- The extras of the few sessions that have any. They never change.
CREATE TABLE session_extras (
  session_id BLOB    PRIMARY KEY REFERENCES session (id) ON DELETE CASCADE,
  claims     TEXT    NOT NULL, -- a JSON object, or ''
  actor_id   INTEGER NOT NULL, -- the user who acts for the session's user, or 0
  token_life INTEGER NOT NULL, -- seconds, or 0 for the life of the settings
  idle_life  INTEGER NOT NULL  -- seconds, or 0 for the life of the settings
) STRICT, WITHOUT ROWID;
