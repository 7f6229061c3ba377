-- +goose Up
-- A list of users by a level that few of them have.
CREATE INDEX IF NOT EXISTS users_level ON pawl.users (level, id);
