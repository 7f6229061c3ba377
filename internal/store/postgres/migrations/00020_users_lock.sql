-- +goose Up
INSERT INTO pawl.lock VALUES ('users') ON CONFLICT DO NOTHING;
