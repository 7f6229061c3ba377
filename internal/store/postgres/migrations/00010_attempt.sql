-- +goose Up
-- The reservations of attempts in progress. A row ends with its attempt, with
-- its node, or by its age.
CREATE TABLE IF NOT EXISTS pawl.attempt (
  id      uuid    PRIMARY KEY,
  account bytea   NOT NULL,
  address text    NOT NULL,
  known   boolean NOT NULL, -- the address was known to the account
  node    integer NOT NULL, -- holds a lock while it lives; see throttle.go
  at      bigint  NOT NULL
);
CREATE INDEX IF NOT EXISTS attempt_account ON pawl.attempt (account);
CREATE INDEX IF NOT EXISTS attempt_address ON pawl.attempt (address);
