-- +goose Up
UPDATE pawl.api_key k SET epoch = s.epoch FROM pawl.session s WHERE s.id = k.session_id AND s.epoch <> 0;
