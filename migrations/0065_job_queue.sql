-- 0065_job_queue.sql: exports that another program asks for over a queue of RabbitMQ, as SentiOne's orchestrator does.

-- +goose Up
alter table schedules add column queued boolean not null default false;
comment on column schedules.queued is 'it runs when a job of the queue asks for it, not by a schedule';

create table queued_jobs (
	id uuid primary key,
	job text not null,
	run text not null,
	name text not null,
	scheduled_at timestamptz,
	received_at timestamptz not null,
	schedule_id uuid references schedules on delete cascade,
	refused text not null default ''
);
create index queued_jobs_received on queued_jobs (received_at desc, id);
comment on table queued_jobs is 'Jobs that came by the queue, once for each run. id is that of the report run; refused says why there is none.';

create table job_queue (
	one boolean primary key default true check (one),
	queue text not null,
	seen_at timestamptz not null,
	failing_since timestamptz,
	error text not null default ''
);
comment on table job_queue is 'How the connection to the queue of jobs stands.';
