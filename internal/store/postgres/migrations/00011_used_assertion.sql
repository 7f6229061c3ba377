-- +goose Up
-- The assertions that have opened a session, until they expire.
CREATE TABLE IF NOT EXISTS pawl.used_assertion (
  id      bytea  PRIMARY KEY, -- a hash of the issuer and the jti
  expires bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS used_assertion_expires ON pawl.used_assertion (expires);
