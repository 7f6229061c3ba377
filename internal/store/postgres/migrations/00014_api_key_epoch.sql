-- +goose Up
-- The epoch of the API key's session, so that a check of an API key reads no
-- session. The key has ended once it is not the epoch of the user any more.
ALTER TABLE pawl.api_key ADD COLUMN IF NOT EXISTS epoch integer NOT NULL DEFAULT 0;
