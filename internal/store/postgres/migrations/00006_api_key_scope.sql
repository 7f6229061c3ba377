-- +goose Up
-- The scope of an API key (authority.Scope), the highest level of a user whose
-- session it opens, and when it expires.
ALTER TABLE pawl.api_key
  ADD COLUMN IF NOT EXISTS scope     smallint NOT NULL DEFAULT 1,
  ADD COLUMN IF NOT EXISTS max_level smallint NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS name      text     NOT NULL DEFAULT '',
  ADD COLUMN IF NOT EXISTS expires   bigint   NOT NULL DEFAULT 0; -- 0: never
CREATE INDEX IF NOT EXISTS api_key_expires ON pawl.api_key (expires) WHERE expires > 0;
