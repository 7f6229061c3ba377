-- +goose Up
-- The defaults keep this migration from rewriting the table, so it takes no
-- time, however many sessions there are.
ALTER TABLE pawl.session
  -- Until when the current token can be refreshed; at least expires.
  ADD COLUMN IF NOT EXISTS idle       bigint NOT NULL DEFAULT 0,
  -- A hash of the address that began this generation, or 0.
  ADD COLUMN IF NOT EXISTS address    bigint NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS device     text   NOT NULL DEFAULT '',
  -- The rest is NULL for most sessions, and never changes.
  ADD COLUMN IF NOT EXISTS claims     text,                      -- a JSON object
  ADD COLUMN IF NOT EXISTS actor_id   bigint,                    -- the user who acts for the session's user
  ADD COLUMN IF NOT EXISTS token_life bigint,                    -- seconds
  ADD COLUMN IF NOT EXISTS idle_life  bigint;                    -- seconds
