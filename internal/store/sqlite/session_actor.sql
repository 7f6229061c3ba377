-- The session_epoch of the actor when the session was opened. The session has ended once it is another one.

ALTER TABLE session_extras ADD COLUMN actor_epoch INTEGER NOT NULL DEFAULT 0;
UPDATE session_extras SET actor_epoch = coalesce((SELECT session_epoch FROM user WHERE user.id = actor_id), 0);
