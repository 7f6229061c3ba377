-- +goose Up
-- The highest iat of a token, to within a few seconds.
ALTER TABLE pawl.feed ADD COLUMN IF NOT EXISTS issued bigint NOT NULL DEFAULT 0;
