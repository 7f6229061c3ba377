-- +goose Up
-- When a signing key was published, signs from, and was retired: Unix seconds.
-- 0 is "before times were kept" of the first two, and "not" of the last. The
-- jwk of a retired key is empty.
ALTER TABLE pawl.signing_key
  ADD COLUMN published bigint NOT NULL DEFAULT 0,
  ADD COLUMN signs     bigint NOT NULL DEFAULT 0,
  ADD COLUMN retired   bigint NOT NULL DEFAULT 0;
-- When the newest took over is not known, only that it was before now: so a key
-- before it is over a token's life from now at the latest.
UPDATE pawl.signing_key SET signs = extract(epoch FROM now())::bigint WHERE rank = (SELECT max(rank) FROM pawl.signing_key);
