-- The user who acted in the session of an event for the session's user, or 0.
ALTER TABLE event ADD COLUMN actor_id INTEGER NOT NULL DEFAULT 0;
