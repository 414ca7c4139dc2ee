-- 0035_outcomes.sql: why a conversation has its outcome; the sessions in which nothing was said before the one that names it; confidences as
-- they were sent. Rows from before get these when they are folded again.

-- +goose Up
alter table conversations add column outcome_because text not null default '';
comment on column conversations.outcome_because is 'why it has its outcome; kept_… when a last turn of the user left nothing open, so that what stood before counts';
alter table conversations add column absorbed uuid[] not null default '{}';
comment on column conversations.absorbed is 'ids of sessions in which nothing was said, before the one that names the conversation';
alter table messages add column confidence_sent double precision;
comment on column messages.confidence_sent is 'the number as it was sent; confidence is the same, rounded';
alter table turns add column confidence_sent double precision;
