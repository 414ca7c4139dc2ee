-- 0043_formats.sql: payloads, sources and rejected events say in which format a body is written; 1 is Rasa's.

-- +goose Up
alter table event_payloads add column format smallint not null default 1;
alter table sources add column format smallint not null default 1;
alter table rejected_events add column format smallint not null default 1;
comment on column event_payloads.format is 'The wire format of all bodies of the row: 1 Rasa.';
comment on column sources.format is 'The wire format in which the source writes: 1 Rasa.';
comment on column rejected_events.format is 'The wire format that the body should have had: 1 Rasa.';
