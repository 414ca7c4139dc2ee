-- 0016_turns_flow.sql: the flow and the action of each turn, for response times. Turns stored before have neither until
-- `turnwise rebuild` has run.

-- +goose Up
alter table turns add column flow_id text not null default '', add column action text not null default '';
comment on column turns.flow_id is 'on top of the dialogue stack when the turn ended; '''' for none';
comment on column turns.action is 'the last that ran before the first bot message; '''' for none';
