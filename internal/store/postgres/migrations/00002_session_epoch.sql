-- +goose Up
-- A session has ended once its epoch is not that of its user any more. So one
-- update of the user's row ends all of the user's sessions at once, however
-- many there are. A sweep removes their rows later.
ALTER TABLE pawl.users ADD COLUMN IF NOT EXISTS session_epoch integer NOT NULL DEFAULT 0;
-- The user's session_epoch when the session was opened.
ALTER TABLE pawl.session ADD COLUMN IF NOT EXISTS epoch integer NOT NULL DEFAULT 0;

-- A list of sessions reads no ended ones. A refresh changes no column of this
-- index, and so remains a HOT update.
DROP INDEX IF EXISTS pawl.session_user_id;
CREATE INDEX IF NOT EXISTS session_user_epoch ON pawl.session (user_id, epoch);
