-- +goose Up
-- Each row is a lock. A transaction holds it by SELECT ... FOR UPDATE.
CREATE TABLE IF NOT EXISTS pawl.lock (name text PRIMARY KEY);
