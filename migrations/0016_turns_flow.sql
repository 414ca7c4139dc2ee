-- 0016_turns_flow.sql: the flow and the action of each turn, for response times. Turns stored before have no action until
-- `turnwise rebuild` has run.

-- +goose Up
alter table turns add column flow_id text not null default '', add column action text not null default '';
comment on column turns.flow_id is 'on top of the dialogue stack when the turn ended; '''' for none';
comment on column turns.action is 'the last that ran before the first bot message; '''' for none';
update turns t
set flow_id = s.flow_id
from (
	select distinct on (t.sender_id, t.conversation_id, t.n) t.sender_id, t.conversation_id, t.n, s.flow_id
	from turns t
	join flow_steps s on s.sender_id = t.sender_id and s.conversation_id = t.conversation_id and s.seq <= t.end_seq
	order by t.sender_id, t.conversation_id, t.n, s.seq desc
) as s
where s.sender_id = t.sender_id and s.conversation_id = t.conversation_id and s.n = t.n and s.flow_id <> '';
