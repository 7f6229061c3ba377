-- The tenant of an event's user at that time, or NULL. NULL is for events about no user, and for those from before
-- these columns.
ALTER TABLE event ADD COLUMN network_id INTEGER;
ALTER TABLE event ADD COLUMN mailbox_id INTEGER;
CREATE INDEX event_tenant ON event (network_id, at) WHERE network_id IS NOT NULL;
