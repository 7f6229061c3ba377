-- +goose Up
-- Failed guesses of passwords, in a row.
CREATE TABLE pawl.guess (
  account bytea  NOT NULL, -- a hash of the login; zero for an address over all accounts
  address text   NOT NULL, -- an IPv4 address or an IPv6 /64; '' for an account over all addresses
  failed  bigint NOT NULL,
  last    bigint NOT NULL,
  forget  bigint NOT NULL, -- when the row is as good as not there
  PRIMARY KEY (account, address)
);
CREATE INDEX guess_forget ON pawl.guess (forget);
