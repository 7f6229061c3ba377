-- +goose Up
-- The nodes of an engine without advisory locks, and until when each may answer.
CREATE TABLE IF NOT EXISTS pawl.node (number integer PRIMARY KEY, until timestamptz NOT NULL);
