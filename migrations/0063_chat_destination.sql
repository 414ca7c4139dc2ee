-- 0063_chat_destination.sql: reports of figures may go to a channel of Slack, Mattermost or Teams.

-- +goose Up
alter table schedules drop constraint schedules_destination_check;
alter table schedules add constraint schedules_destination_check check (destination in ('mail', 'http', 'folder', 's3', 'chat'));
