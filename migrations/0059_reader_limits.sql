-- 0059_reader_limits.sql: which assistants a login of the database for other programs sees, where not all.

-- +goose Up
create table reader_limits (
	name text primary key, -- of the login
	assistants text[] not null
);
comment on table reader_limits is 'Logins of other programs that read some assistants alone, with their names.';
