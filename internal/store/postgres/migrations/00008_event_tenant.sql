-- +goose Up
-- The tenant of an event's user at that time, or NULL. NULL is for events about
-- no user, and for those from before these columns.
ALTER TABLE pawl.event ADD COLUMN IF NOT EXISTS network_id bigint;
ALTER TABLE pawl.event ADD COLUMN IF NOT EXISTS mailbox_id bigint;
CREATE INDEX IF NOT EXISTS event_tenant ON pawl.event (network_id, at, id) WHERE network_id IS NOT NULL;
