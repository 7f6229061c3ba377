-- +goose Up
-- A list of users by a status that few of them have.
CREATE INDEX IF NOT EXISTS users_status ON pawl.users (status, id);
