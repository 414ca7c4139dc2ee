-- 0037_arrivals.sql: who came, or is gone, is noted when it is stored; which hours that changes is found later, by the job that counts. To look
-- for a person's other conversations costs what there are of them, and some names are shared by very many.

-- +goose Up
create table rollup_arrivals (
	sender_id bigint not null,
	user_id text not null,
	assistant_id integer not null,
	at timestamptz not null, -- the conversation's start
	engaged boolean not null
);
comment on table rollup_arrivals is 'Conversations that came, or went, since figures were last counted: they change how the ones before and after of the same person are judged.';
