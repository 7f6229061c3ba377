-- +goose Up
-- A list of the sessions of a tenant reads its users in the order of this index.
DROP INDEX IF EXISTS pawl.users_tenant;
CREATE INDEX IF NOT EXISTS users_tenant ON pawl.users (network_id, mailbox_id, id);
