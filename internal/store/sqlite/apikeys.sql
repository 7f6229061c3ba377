-- The scope of an API key (authority.Scope), the highest level of a user whose session it opens, and when it expires.
ALTER TABLE api_key ADD COLUMN scope INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_key ADD COLUMN max_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN expires INTEGER NOT NULL DEFAULT 0; -- 0: never
CREATE INDEX api_key_expires ON api_key (expires) WHERE expires > 0;
