-- 0012_rollup_epochs.sql: whoever stores conversations of an hour that is being counted marks it in the next epoch and
-- need not wait for the count.

-- +goose Up
alter table rollup_state add column epoch bigint not null default 0;
comment on column rollup_state.epoch is 'Grows when marks are about to be taken; marks are made in the newest.';
alter table rollup_marks add column epoch bigint not null default 0;
alter table rollup_marks drop constraint rollup_marks_pkey;
alter table rollup_marks add primary key (hour, assistant_id, lane, epoch);
