-- +goose Up
-- A list of events of a kind, of a session, or of a mailbox. A refresh adds no event.
CREATE INDEX IF NOT EXISTS event_kind ON pawl.event (kind, at, id);
CREATE INDEX IF NOT EXISTS event_session ON pawl.event (session_id, at, id) WHERE session_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS event_mailbox ON pawl.event (network_id, mailbox_id, at, id) WHERE network_id IS NOT NULL;
