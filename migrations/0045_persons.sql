-- 0045_persons.sql: when the person of a conversation first came, and came again, stands beside it, instead of being looked up each time.

-- +goose Up
create table conversation_persons (
	sender_id bigint not null,
	conversation_id uuid not null,
	first_at timestamptz not null, -- start of the person's first conversation ever with the assistant
	next_at timestamptz, -- start of the next one in which the person wrote; null for none yet
	primary key (sender_id, conversation_id)
);
comment on table conversation_persons is 'Of conversations whose person had come before or came again: when. Others have no row: their person first came with them and did not come again. Kept a moment after conversations are stored.';

insert into conversation_persons (sender_id, conversation_id, first_at, next_at)
select sender_id, id, first_at, next_at
from (
	select c.sender_id, c.id, c.started_at,
		least(k.first_at, case when c.user_id <> '' then c.first_of_user else c.first_of_sender end) as first_at,
		case when c.user_id <> '' then c.next_of_user else c.next_of_sender end as next_at
	from (
		select sender_id, id, assistant_id, user_id, started_at,
			min(started_at) over (partition by assistant_id, user_id) as first_of_user,
			min(started_at) filter (where user_id = '') over (partition by sender_id) as first_of_sender,
			min(started_at) filter (where user_messages > 0) over (
				partition by assistant_id, user_id, case when user_id = '' then sender_id end -- who told none are not one
				order by started_at desc groups between unbounded preceding and 1 preceding) as next_of_user,
			min(started_at) filter (where user_messages > 0) over (
				partition by sender_id, assistant_id
				order by started_at desc groups between unbounded preceding and 1 preceding) as next_of_sender
		from conversations
	) as c
	left join known_users k on k.assistant_id = c.assistant_id and k.person = case when c.user_id <> '' then hashtextextended(c.user_id, c.assistant_id) else c.sender_id end
) as x
where first_at < started_at or next_at is not null;
