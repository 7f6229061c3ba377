-- +goose Up
-- A search compares prefixes of external ids byte by byte. The index that makes
-- them unique has the order of the database.
CREATE INDEX IF NOT EXISTS users_search_external_id ON pawl.users ((external_id COLLATE "C")) WHERE external_id <> '';
