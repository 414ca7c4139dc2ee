-- 0055_vendor_ids.sql: ids and times as the tables of other products write them, so that these are found by them.

-- +goose Up
-- +goose StatementBegin
create function place_id(sender_id bigint, seq bigint, n integer) returns text
language sql immutable parallel safe
return case
	when n < 128 then encode(
		int8send(((seq >> 4) << 16) | 32768 | ((seq & 15) << 8) | ((sender_id >> 62) << 7) | n)
		|| int8send((sender_id & 4611686018427387903) | (-9223372036854775808)), 'hex')::uuid::text
	else md5(sender_id::text || ':' || seq::text || ':' || n::text)::uuid::text
end;
-- +goose StatementEnd
comment on function place_id is 'A UUID (version 8) of a place: 52 bits of the sequence number, 1 of the sender, 7 of n, 62 of the sender. Those of one time lie together. Beyond n = 127 a hash takes its place.';

create index senders_place on senders ((place_id(id, 0, 0)::varchar(36)));
create index senders_first on senders (first_seen_at);
create index senders_utc on senders ((first_seen_at at time zone 'UTC'));
create index conversations_place on conversations ((place_id(sender_id, 0, 0)::varchar(36)));
create index conversations_chat on conversations ((coalesce(nullif(session_id, ''), id::text)));
create index conversations_text on conversations ((id::text::varchar(36)));
create index conversations_utc on conversations ((started_at at time zone 'UTC')) include (started_at, id) where not test;
create index conversations_test on conversations (sender_id, id) where test;
create index events_utc on events using brin ((at at time zone 'UTC'), (id::text::varchar(36)), at) with (pages_per_range = 32, autosummarize = on);
create index messages_utc on messages using brin ((at at time zone 'UTC'), (id::text::varchar(36)), at) with (pages_per_range = 32, autosummarize = on);
create index turns_utc on turns using brin ((message_id::text::varchar(36)), seq) with (pages_per_range = 32, autosummarize = on);
create index flow_steps_utc on flow_steps using brin ((at at time zone 'UTC'), (place_id(sender_id, seq, get_byte(uuid_send(conversation_id), 15) & 127)::varchar(36))) with (pages_per_range = 32, autosummarize = on);
create index slots_utc on slots using brin ((at at time zone 'UTC'), (place_id(sender_id, seq, get_byte(uuid_send(conversation_id), 15) & 127)::varchar(36))) with (pages_per_range = 32, autosummarize = on);
create index commands_utc on commands using brin ((at at time zone 'UTC'), (place_id(sender_id, seq, n)::varchar(36))) with (pages_per_range = 32, autosummarize = on);
create index state_changes_at on state_changes using brin (at) with (pages_per_range = 32, autosummarize = on);
create index turn_facts_at on turn_facts using brin (at) with (pages_per_range = 32, autosummarize = on);
create index activities_at on activities using brin (at) with (pages_per_range = 32, autosummarize = on);
create index agent_logins_at on agent_logins using brin ((coalesce(started_at, to_timestamp(seq / 1e6::float8)))) with (pages_per_range = 32, autosummarize = on);
-- User messages and what happened to flows are counted without their texts.
create index messages_users on messages ((at at time zone 'UTC')) include (at, sender_id, conversation_id, intent) where author = 1;
create index events_flows on events ((at at time zone 'UTC')) include (sender_id, at, conversation_id, type, name, flow_id)
	where type = any('{flow_started,flow_completed,flow_interrupted,flow_resumed,flow_cancelled,flow}'::text[]);
create index events_resets on events (sender_id, conversation_id, seq) where type = any('{restart,reset_slots}'::text[]);
