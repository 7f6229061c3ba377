-- +goose Up
-- The user who acted in the session of an event for the session's user, or 0.
ALTER TABLE pawl.event ADD COLUMN IF NOT EXISTS actor_id bigint NOT NULL DEFAULT 0;
