-- +goose Up
-- The users with sessions of ended epochs. The purge removes the rows of these
-- sessions page by page, and then the row here.
CREATE TABLE IF NOT EXISTS pawl.session_purge (
  user_id bigint  PRIMARY KEY REFERENCES pawl.users (id),
  epoch   integer NOT NULL -- the user's session_epoch
);
INSERT INTO pawl.session_purge SELECT id, session_epoch FROM pawl.users WHERE session_epoch > 0
  ON CONFLICT DO NOTHING;

-- A page of a user's sessions, live or ended, is a range of this index: it
-- reads no other session. A refresh changes no column of the index, and so
-- remains a HOT update.
DROP INDEX IF EXISTS pawl.session_user_epoch;
CREATE INDEX IF NOT EXISTS session_of_user ON pawl.session (user_id, epoch, created, id);
