-- +goose Up
-- A session has ended once its epoch is not that of its user any more. So one
-- update of the user's row ends all of the user's sessions at once, however
-- many there are. A sweep removes their rows later.
ALTER TABLE pawl.users ADD COLUMN session_epoch integer NOT NULL DEFAULT 0;
ALTER TABLE pawl.session ADD COLUMN epoch integer NOT NULL DEFAULT 0; -- the user's session_epoch when it was opened

-- A list of sessions reads no ended ones. A refresh changes no column of this
-- index, and so remains a HOT update.
DROP INDEX pawl.session_user_id;
CREATE INDEX session_user_epoch ON pawl.session (user_id, epoch);
