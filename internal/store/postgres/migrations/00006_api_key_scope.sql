-- +goose Up
-- The scope of an API key (authority.Scope), the highest level of a user whose
-- session it opens, and when it expires.
ALTER TABLE pawl.api_key
  ADD COLUMN scope     smallint NOT NULL DEFAULT 1,
  ADD COLUMN max_level smallint NOT NULL DEFAULT 0,
  ADD COLUMN name      text     NOT NULL DEFAULT '',
  ADD COLUMN expires   bigint   NOT NULL DEFAULT 0; -- 0: never
CREATE INDEX api_key_expires ON pawl.api_key (expires) WHERE expires > 0;
