-- A list of events of a kind, of a session, or of a mailbox. A refresh adds no event.
CREATE INDEX event_kind ON event (kind, at);
CREATE INDEX event_session ON event (session_id, at) WHERE session_id IS NOT NULL;
CREATE INDEX event_mailbox ON event (network_id, mailbox_id, at) WHERE network_id IS NOT NULL;
