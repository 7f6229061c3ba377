-- +goose Up
-- When a signing key was published, signs from, and was retired: Unix seconds.
-- 0 is "before times were kept" of the first two, and "not" of the last. The
-- jwk of a retired key is empty.
ALTER TABLE pawl.signing_key
  ADD COLUMN published bigint NOT NULL DEFAULT 0,
  ADD COLUMN signs     bigint NOT NULL DEFAULT 0,
  ADD COLUMN retired   bigint NOT NULL DEFAULT 0;
