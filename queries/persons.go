package queries

import (
	"strconv"
	"strings"

	"turnwise/metric"
)

// cameBackText tells whether the same person came back within some days, and wrote: a page that was opened is no
// return.
const cameBackText = `coalesce((
		select p.next_at <= c.last_at + @days * interval '1 day'
		from conversation_persons p
		where p.sender_id = c.sender_id and p.conversation_id = c.id), false)`

var cameBackAlways = strings.ReplaceAll(cameBackText, "@days", strconv.Itoa(metric.DurableDays))

// returnedText tells whether the person of a resolved conversation came back within the days for which a resolution
// must last.
var returnedText = `c.outcome in ('resolved_confirmed', 'resolved_assumed')
	and ` + cameBackAlways

// PersonText makes a person's number, NamesText are all ids of a user, firstEverText says when the person's first
// conversation ever with the assistant began.
const (
	PersonText = `case
		when c.user_id = '' then c.sender_id
		when (select exists (select from user_names)) then hashtextextended(
			coalesce((select n.person from user_names n where n.assistant_id = c.assistant_id and n.name = c.user_id),
				c.user_id), c.assistant_id)
		else hashtextextended(c.user_id, c.assistant_id) end`
	NamesText = `coalesce((select n.names from user_names n where n.assistant_id = c.assistant_id and n.name = c.user_id),
		array[c.user_id])`
	firstEverText = `coalesce((select p.first_at from conversation_persons p where p.sender_id = c.sender_id
	and p.conversation_id = c.id), c.started_at)`
)

// FactColumns are the columns of conversations, c, that figures count, judged by the criteria; users asks for users
// too.
func (w *Where) FactColumns(criteria []SuccessCriteria, users bool) string {
	person := "0::bigint, 0::bigint"
	if users {
		person = PersonText + ", floor(extract(epoch from " + firstEverText + "))::bigint"
	}
	return person + `, c.sender_id, c.id, c.started_at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.outcome, c.csat,
	c.escalated_at is not null, c.escalation_reason, ` + returnedText + `, c.response_ms, c.untimed,
	case when not ` + w.judged("now", criteria) + ` then 0 when ` + w.success("now", criteria) + ` then 1 else 2 end`
}

// PersonFirstText says when the first conversation ever began of the person of a conversation, by looking at all of
// them.
const PersonFirstText = `least(
		(
			select min(k.first_at)
			from removed_users k
			where k.assistant_id = c.assistant_id and k.person = any(case
				when c.user_id = '' then array[c.sender_id]
				else array(select hashtextextended(u.name, c.assistant_id) from unnest(` + NamesText + `) as u (name)) end)),
		case
			when c.user_id <> '' then (
				select min(n.started_at)
				from unnest(` + NamesText + `) as u (name)
				cross join lateral (
					select n.started_at
					from conversations n
					where n.user_id = u.name and n.assistant_id = c.assistant_id and n.user_id <> ''
					order by n.started_at
					limit 1
				) as n)
			else (
				select min(n.started_at)
				from conversations n
				where n.sender_id = c.sender_id and n.user_id = '')
		end)`

// LockRollupsSQL lets one process count figures, or change what they are counted from, at a time; criteria come into
// force when nobody does.
const LockRollupsSQL = `select zone from rollup_state for no key update`

// ShareRollupsSQL lets several count figures at a time, while nobody changes what they are counted from.
const ShareRollupsSQL = `select zone from rollup_state for share`
