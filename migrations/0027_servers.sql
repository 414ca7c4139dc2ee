-- 0027_servers.sql: the processes that do jobs, so that what one left when it was killed is begun again soon.

-- +goose Up
create table servers (
	id text primary key,
	version text not null,
	started_at timestamptz not null,
	alive_at timestamptz not null
);
comment on table servers is 'Processes that do jobs. One that has not been alive for half a minute is taken for dead.';
