-- 0028_audit.sql: who did what to what, when and from where. Entries are only added; each holds a hash over itself and the one before.

-- +goose Up
create table audit_log (
	id bigint primary key,
	at timestamptz not null,
	actor_id uuid,
	actor text not null,
	address text not null,
	act text not null,
	object_id text not null,
	object text not null,
	before json,
	after json,
	hash bytea not null
);
comment on table audit_log is 'Who did what to what. Only added to; id grows by one.';
comment on column audit_log.actor is 'address of the user at that time, or the program that did it';
comment on column audit_log.hash is 'SHA-256 over the hash of the entry before and this entry';
create index audit_log_at on audit_log (at);
create index audit_log_act on audit_log (act, id);

create table audit_head (
	single boolean primary key default true check (single),
	id bigint not null,
	hash bytea not null,
	gone bigint not null,
	gone_hash bytea not null
);
comment on table audit_head is 'The last entry of the audit log, and the last that retention removed: an end cut off is noticed.';
insert into audit_head (id, hash, gone, gone_hash) values (0, '', 0, '');

-- +goose StatementBegin
create function audit_log_is_kept() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
	if tg_op <> 'DELETE' or current_setting('turnwise.audit', true) is distinct from 'expire' then
		raise exception 'the audit log is only added to';
	end if;
	return old;
end $$;
-- +goose StatementEnd
create trigger audit_log_is_kept before update or delete on audit_log for each row execute function audit_log_is_kept();
create trigger audit_log_is_not_emptied before truncate on audit_log for each statement execute function audit_log_is_kept();
