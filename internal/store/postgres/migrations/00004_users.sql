-- +goose Up
-- An external id is unique, except that any number of users may have none.
ALTER TABLE pawl.users ADD COLUMN IF NOT EXISTS external_id text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX IF NOT EXISTS users_external_id ON pawl.users (external_id) WHERE external_id <> '';

-- A search compares prefixes, byte by byte and in lower case. The collation
-- "C" orders by bytes, and gives only ASCII letters a lower case, as SQLite
-- does.
CREATE INDEX IF NOT EXISTS users_search_login ON pawl.users ((login_folded COLLATE "C"));
CREATE INDEX IF NOT EXISTS users_search_email ON pawl.users (lower(email COLLATE "C"));
CREATE INDEX IF NOT EXISTS users_search_last_name ON pawl.users (lower(last_name COLLATE "C"));
CREATE INDEX IF NOT EXISTS users_search_name ON pawl.users (lower((first_name || ' ' || last_name) COLLATE "C"));
