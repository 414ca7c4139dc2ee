-- 0034_places.sql: events of one instant keep the order in which one delivery showed them. An event from before has the place -1:
-- nobody noted it, and its id is made as it was then.

-- +goose Up
alter table events add column place smallint not null default -1;
comment on column events.place is 'among the events of its instant, from 0, as one delivery showed them; -1: stored by a version that did not note it';
alter table conversations add column first_place smallint not null default 0;
