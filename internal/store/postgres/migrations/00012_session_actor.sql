-- +goose Up
-- The session_epoch of the actor when the session was opened. The session has
-- ended once it is another one.
ALTER TABLE pawl.session ADD COLUMN IF NOT EXISTS actor_epoch integer NOT NULL DEFAULT 0;
UPDATE pawl.session s SET actor_epoch = a.session_epoch FROM pawl.users a
  WHERE a.id = s.actor_id AND a.session_epoch <> 0;
