package ingest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
	"turnwise/queries/dbtest"
)

// a8 says for each of the 119 documented columns of A8Chat's 11 tables, and the one without a name, where its value stands.
var a8 = map[string]map[string]string{
	"user": columns(`from senders s cross join lateral (select s.traits::jsonb as t) t where s.sender_key = 'user:u-1'`, `
time s.first_seen_at
client_id s.user_id
org_id t->>'org_id'
channel s.channel
timezone t->>'timezone'
os t->'device'->>'os'
lang t->>'lang'
url t->>'url'
browser_name t->'device'->>'browser_name'
browser_version t->'device'->>'browser_version'
ip_address t->>'ip_address'
latitude t->'geo'->'latitude'
longitude t->'geo'->'longitude'
device_name t->'device'->>'name'
screen_size_width t->'device'->'screen_width'
screen_size_height t->'device'->'screen_height'
device_orientation t->'device'->>'orientation'
isp_provider t->'network'->>'isp'
data_speed t->'network'->'speed_mbps'
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
custom_fields t->'custom.tier'
channel_data t->'channel_data'`),
	"chat_state": columns(`from state_changes x join senders s on s.id = x.sender_id where x.state_id = 'st-1'`, `
time x.at
chat_id s.sender_key
state x.state
triggered_by_bot case x.changed_by when 'bot' then true end
custom_fields x.details::jsonb->'custom'
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
id x.state_id
group_id x.team_id`),
	"chat_state (assigned)": columns(`from state_changes x where x.state = 'assignedChat'`, `
agent_id x.agent_id`),
	"bot_messages": columns(`from messages x join senders s on s.id = x.sender_id where x.author = 2`, `
time x.at
chat_id s.sender_key
mid x.message_id
is_flow_response nullif(x.details::jsonb->'reply_source' ? 'flow', false)
is_qna_response nullif(x.details::jsonb->'reply_source' ? 'qna', false)
from_id x.agent_id
flow_name x.details::jsonb->>'flow'
node_name x.details::jsonb->>'step'
bot_handle (select a.name from assistants a where a.id = s.assistant_id)`),
	"user_message_details": columns(`from messages x join senders s on s.id = x.sender_id where x.author = 1`, `
time x.at
chat_id s.sender_key
mid x.message_id
is_handeled nullif(x.details::jsonb->'is_handled', 'false')
handling_agent x.details::jsonb->>'handling_agent'
from_suggestion nullif(x.details::jsonb->'from_suggestion', 'false')`),
	"user_activities": columns(`from activities x join senders s on s.id = x.sender_id where x.activity_id = 'a-1'`, `
_id x.activity_id
time x.at
client_id x.user_id
channel s.channel
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
event_name x.name
error x.error`),
	"event_metrics": columns(`from activities x join senders s on s.id = x.sender_id where x.name = 'checkout'`, `
time x.at
chat_id s.sender_key
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
user_id x.details::jsonb->>'external_user_id'
event_name x.details::jsonb->'event'
error x.error::jsonb`),
	"agent_activities": columns(`from activities x join senders s on s.id = x.sender_id where x.name = 'loggedIn'`, `
time x.at
agent_id x.agent_id
session_id x.agent_session_id
event_name x.name
custom_fields x.details::jsonb->'custom'
chat_id s.sender_key`),
	"a8bot_nlp": columns(`from turn_facts x join senders s on s.id = x.sender_id
	left join calls b on b.sender_id = x.sender_id and b.seq = x.seq and b.name = 'basicNLP'
	left join calls p on p.sender_id = x.sender_id and p.seq = x.seq and p.kind = 'spellcheck'
	left join calls n on n.sender_id = x.sender_id and n.seq = x.seq and n.name = 'LUIS'
	where x.intent = 'card_status'`, `
mid x.message_id
time x.at
basic_nlp_handled nullif(b.details::jsonb->'handled', 'false')
nlp_provider n.provider
intent x.intent
intent_score x.confidence
entities x.entities::jsonb
is_spellcheck_hit nullif(p.details::jsonb->'called', 'false')
spellcheck_status p.status
spellcheck_resp_time p.ms
is_nlp_hit nullif(n.details::jsonb->'called', 'false')
nlp_status n.status
nlp_resp_time n.ms
error n.error
altered_query nullif(p.details::jsonb->'altered', 'false')
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
event_triggered x.details::jsonb->>'triggered'`),
	"agent_sessions": columns(`from agent_logins x cross join lateral (select x.details::jsonb as d) d`, `
time x.started_at
agent_id x.agent_id
session_id x.login_id
name x.name
email x.email
groups nullif(x.groups, '{}')
timezone d->>'timezone'
lang d->>'lang'
os d->'device'->>'os'
browser_name d->'device'->>'browser_name'
browser_version d->'device'->>'browser_version'
device_name d->'device'->>'name'
screen_size_width d->'device'->'screen_width'
screen_size_height d->'device'->'screen_height'
custom_fields d->'custom'
ip_address d->>'ip_address'`),
	"agent_message_details": columns(`from messages x join senders s on s.id = x.sender_id cross join lateral (select x.details::jsonb->'assist' as a) a where x.author = 3`, `
time x.at
mid x.message_id
agent_id x.agent_id
session_id x.agent_session_id
chat_id s.sender_key
assist nullif(a->'used', 'false')
assist_passed nullif(a->'passed', 'false')
assist_edited nullif(a->'edited', 'false')
pilot_mode nullif(a->'pilot_on', 'false')
pilot_passed nullif(a->'pilot_passed', 'false')
is_faq nullif(a->'is_faq', 'false')
faq_id a->>'faq_id'
word_count x.details::jsonb->'word_count'`),
	"messages": columns(`from messages x join senders s on s.id = x.sender_id where x.message_id = 'm2'`, `
time x.at
chat_id s.sender_key
mid x.message_id
bot_handle (select a.name from assistants a where a.id = s.assistant_id)
msg_type x.message_type
reply_to_id x.reply_to
msg_from x.author
resp_time x.details::jsonb->'response_ms'
msg x.rich::jsonb->'content'`),
}

// sentione does the same for what SentiOne names of sessions and messages.
var sentione = map[string]map[string]string{
	"session_log": columns(`from conversations c join senders s on s.id = c.sender_id cross join lateral (select c.details::jsonb as d) d`, `
id d->>'internal_id'
session_id c.session_id
project_id (select a.name from assistants a where a.id = s.assistant_id)
author c.user_id
author_verified nullif(d->'author_verified', 'false')
source_type (select ch.name from channels ch where ch.id = c.channel_id)
created_at d->>'started_at'
ended_at c.ended_at
end_reason c.end_reason
last_message_at (select max(m.at) from messages m where m.sender_id = c.sender_id)
message_count c.user_messages + c.bot_messages + c.agent_messages
user_message_count c.user_messages
tags d->'tags'
handed_over c.escalated_at
metadata d->'metadata.plan'`),
	"message_event": columns(`from messages m join senders s on s.id = m.sender_id join turn_facts t on t.sender_id = m.sender_id and t.seq = m.seq
	cross join lateral (select t.details::jsonb as d) d where m.author = 2`, `
id m.message_id
session_id s.sender_key
created_at m.at
ordinal m.seq
author_type m.author
content m.text
quick_replies m.rich::jsonb->'buttons'
attachments m.rich::jsonb->'attachments'
dialog_state d->'dialog_state'
variables d->'variables'
tags d->'tags'
topics d->'topics'
commands d->'commands'
used_states d->'states'
execution_times t.response_ms
nlu_ms d->'nlu_ms'
dialog_ms d->'dialog_ms'
integrations (select c.ms from calls c where c.sender_id = t.sender_id and c.seq = t.seq and c.kind = 'integration')
errors d->'errors'`),
	"message_event (user)": columns(`from messages m join turn_facts t on t.sender_id = m.sender_id and t.seq = m.seq where m.author = 1`, `
intents t.details::jsonb->'intents'`),
}

// columns are the statements that ask for each column.
func columns(from, list string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(list)) {
		name, expr, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = "select (" + expr + ")::text " + from
	}
	return all
}

// TestVendorsColumns: every documented column of A8Chat's tables, and every named detail of SentiOne's, finds its place.
func TestVendorsColumns(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	// Events of each kind with every field that A8Chat's and SentiOne's tables have a place for.
	text, err := os.ReadFile(filepath.Join("testdata", "everything.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	storeNeutral(t, pool, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	n := 0
	for _, tables := range []map[string]map[string]string{a8, sentione} {
		for table, list := range tables {
			for name, sql := range list {
				rows, _ := pool.Query(t.Context(), sql)
				values, err := pgx.CollectRows(rows, pgx.RowTo[*string])
				if err != nil || len(values) != 1 || values[0] == nil || *values[0] == "" {
					t.Errorf("%s.%s: %d rows, %v", table, name, len(values), err)
				}
				n++
			}
		}
	}
	of := 0
	for _, list := range a8 {
		of += len(list)
	}
	if of != 119+1 {
		t.Errorf("%d columns of A8Chat are asked for, not 119 and one without a name", of)
	}
}

// storeNeutral stores bodies of neutral events, all of which must fit.
func storeNeutral(t testing.TB, pool *pgxpool.Pool, bodies ...string) {
	t.Helper()
	w := ingest.NewWriter(pool, quiet)
	src, err := w.Open(context.Background(), ingest.Source{Name: "neutral", Kind: "http", Assistant: "default", Format: neutral.Format})
	if err != nil {
		t.Fatal(err)
	}
	d := neutral.NewDecoder()
	var events []*conversation.Event
	for _, b := range bodies {
		e, rej := d.Decode(b, wire.Intake{Assistant: "default"}, time.Now())
		if rej != nil {
			t.Fatalf("%s: %v", b, rej)
		}
		if e.Flags&conversation.FlagMisfit != 0 {
			t.Errorf("a field does not fit: %s", b)
		}
		events = append(events, e)
	}
	counts, err := w.Store(context.Background(), src, events)
	if err != nil || counts.Rejected > 0 {
		t.Fatal(fmt.Sprint(counts), err)
	}
}
