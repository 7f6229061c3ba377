-- When a signing key was published, signs from, and was retired: Unix seconds.
-- 0 is "before times were kept" of the first two, and "not" of the last. The
-- jwk of a retired key is empty.
ALTER TABLE signing_key ADD COLUMN published INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN signs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
-- When the newest took over is not known, only that it was before now: so a key
-- before it is over a token's life from now at the latest.
UPDATE signing_key SET signs = unixepoch() WHERE rank = (SELECT max(rank) FROM signing_key);
