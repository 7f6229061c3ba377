-- The events of a network in the order of their ids, which each entry of an index ends with: an export, and each call
-- with "after", reads on from the last id. A refresh adds no event.
CREATE INDEX event_network ON event (network_id) WHERE network_id IS NOT NULL;
