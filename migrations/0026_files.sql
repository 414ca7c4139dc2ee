-- 0026_files.sql: how often the process that made a file ended while at it, so that one that kills them is not begun for ever; and
-- people as rows of an export.

-- +goose Up
alter table exports add column deaths integer not null default 0;
comment on column exports.deaths is 'how often the server that made it ended while at it';
alter table exports drop constraint exports_grain_check;
alter table exports add constraint exports_grain_check check (grain in ('conversation', 'turn', 'message', 'event', 'user'));
alter table report_runs add column deaths integer not null default 0;
comment on column report_runs.deaths is 'how often the server that made it ended while at it, since the last delivery';
