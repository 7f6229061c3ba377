-- An external id is unique, except that any number of users may have none.
ALTER TABLE user ADD COLUMN external_id TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX user_external_id ON user (external_id) WHERE external_id <> '';

-- A search compares prefixes in lower case.
CREATE INDEX user_email ON user (lower(email));
CREATE INDEX user_last_name ON user (lower(last_name));
CREATE INDEX user_name ON user (lower(first_name || ' ' || last_name));
