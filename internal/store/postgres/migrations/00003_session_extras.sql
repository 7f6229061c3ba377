-- +goose Up
-- The defaults keep this migration from rewriting the table, so it takes no
-- time, however many sessions there are.
ALTER TABLE pawl.session
  ADD COLUMN idle       bigint NOT NULL DEFAULT 0, -- until when the current token can be refreshed; at least expires
  ADD COLUMN address    bigint NOT NULL DEFAULT 0, -- a hash of the address that began this generation, or 0
  ADD COLUMN device     text   NOT NULL DEFAULT '',
  -- The rest is NULL for most sessions, and never changes.
  ADD COLUMN claims     text,                      -- a JSON object
  ADD COLUMN actor_id   bigint,                    -- the user who acts for the session's user
  ADD COLUMN token_life bigint,                    -- seconds
  ADD COLUMN idle_life  bigint;                    -- seconds
