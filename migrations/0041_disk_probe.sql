-- 0041_disk_probe.sql: whether anything can be stored is asked by storing something, and taking it back.

-- +goose Up
create table disk_probe (filler bytea not null);
comment on table disk_probe is 'Always empty: a transaction that is taken back fills it, to see whether the disk has room.';
