-- +goose Up
-- A list of users by a level that few of them have.
CREATE INDEX users_level ON pawl.users (level, id);
