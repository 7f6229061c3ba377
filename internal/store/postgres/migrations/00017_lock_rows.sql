-- +goose Up
INSERT INTO pawl.lock VALUES ('events'), ('store') ON CONFLICT DO NOTHING;
