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

-- The audit: what happened, for as long as --audit-age.
CREATE TABLE pawl.event (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at         bigint NOT NULL,
  kind       text   NOT NULL,
  user_id    bigint NOT NULL, -- whom it is about; 0 for nobody who is known
  session_id uuid,
  caller_id  bigint NOT NULL, -- who did it; 0 for nobody who is known
  address    text   NOT NULL,
  request    text   NOT NULL,
  detail     text   NOT NULL
);
CREATE INDEX event_at ON pawl.event (at, id);
CREATE INDEX event_user ON pawl.event (user_id, at, id);
