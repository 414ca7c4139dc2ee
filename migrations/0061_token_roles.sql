-- 0061_token_roles.sql: a token may have several roles, as programs expect each of them literally; role stays the
-- mightiest of them, which servers of the release before go by.

-- +goose Up
alter table tokens add column roles text[] check (
	cardinality(roles) > 0 and roles <@ array['ingest', 'analytics_viewer', 'analytics_admin', 'admin']
	and (cardinality(roles) = 1 or not 'ingest' = any(roles)));
