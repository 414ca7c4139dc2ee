-- 0051_untimed.sql: how many turns of a conversation were answered at times that do not tell how long it took.

-- +goose Up
alter table conversations add column untimed integer not null default 0;
comment on column conversations.untimed is 'turns that the assistant answered, but whose times are equal or too coarse to tell how long it took';

alter table turns drop constraint turns_response_source_check;
alter table turns add constraint turns_response_source_check check (response_source in ('', 'execution_times', 'bot_message', 'platform', 'not_timed')) not valid;
