package queries

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// TranscriptSegment is a stretch in which the conversation waited for a human agent, or one handled it.
type TranscriptSegment struct {
	Seq           int64
	Waiting       bool
	AgentID       string
	TeamID        string
	StartedAt     time.Time
	EndedAt       *time.Time
	EndedBy       string
	FirstReplyAt  *time.Time
	AgentMessages int32
}

// TranscriptState is a state as the platform told it.
type TranscriptState struct {
	Seq       int64
	At        time.Time
	Status    string
	Handler   string
	AgentID   string
	State     string
	Reason    string
	ChangedBy string
}

// TranscriptTold is what was told of a turn.
type TranscriptTold struct {
	Seq     int64
	Result  string
	Details *string
}

// TranscriptCall is a call of a model, a tool or a service.
type TranscriptCall struct {
	Seq          int64
	Kind         string
	Name         string
	Provider     string
	Status       string
	Error        string
	MS           *float64 `db:"ms"`
	InputTokens  *float64
	OutputTokens *float64
	CostUSD      *float64 `db:"cost_usd"`
}

// TranscriptFeedback is a rating that was asked for or given.
type TranscriptFeedback struct {
	Seq      int64
	At       time.Time
	Kind     string
	Status   string
	Score    *float64
	ScaleMax *float64
	Comment  string
}

// TranscriptScore is a judgement from outside.
type TranscriptScore struct {
	Seq         int64
	At          time.Time
	Name        string
	Value       string
	Explanation string
	JudgedBy    string
	Author      string
}

// TranscriptActivity is what somebody did beside talking.
type TranscriptActivity struct {
	Seq        int64
	Actor      string
	Name       string
	AgentID    string
	Properties *string
	Error      string
	URL        string
}

// TranscriptLive is what platforms beside Rasa tell of a stretch.
type TranscriptLive struct {
	Segments   []TranscriptSegment
	States     []TranscriptState
	Told       []TranscriptTold
	Calls      []TranscriptCall
	Feedback   []TranscriptFeedback
	Scores     []TranscriptScore
	Activities []TranscriptActivity
}

const (
	transcriptSegmentsSQL = `
select seq, waiting, agent_id, team_id, started_at, ended_at, ended_by, first_reply_at, agent_messages
from (
	select *, (extract(epoch from started_at) * 1000000)::bigint as seq
	from agent_segments
	where sender_id = @sender and conversation_id = @id
) as s
where seq >= @seq and seq < @end
order by n
limit 1000`
	transcriptStatesSQL = `
select seq, at, status, handler, agent_id, state, reason, changed_by
from state_changes
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 1000`
	transcriptToldSQL = `
select seq, result, details
from turn_facts
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 1000`
	transcriptCallsSQL = `
select seq, kind, name, provider, status, error, ms, input_tokens, output_tokens, cost_usd
from calls
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq, n
limit 3000`
	transcriptFeedbackSQL = `
select seq, at, kind, status, score, scale_max, comment
from feedback
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 1000`
	transcriptScoresSQL = `
select seq, at, name, value, explanation, judged_by, author
from scores
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 1000`
	transcriptActivitiesSQL = `
select seq, actor, name, agent_id, properties, error, url
from activities
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 1000`
)

// queueLive asks for what platforms beside Rasa tell.
func queueLive(q *pgx.Batch, span pgx.StrictNamedArgs) {
	for _, sql := range []string{
		transcriptSegmentsSQL, transcriptStatesSQL, transcriptToldSQL, transcriptCallsSQL, transcriptFeedbackSQL,
		transcriptScoresSQL, transcriptActivitiesSQL,
	} {
		q.Queue(sql, span)
	}
}

// read reads the answers in the order in which queueLive asked.
func (t *TranscriptLive) read(res pgx.BatchResults) (err error) {
	if t.Segments, err = answer[TranscriptSegment](res); err != nil {
		return err
	}
	if t.States, err = answer[TranscriptState](res); err != nil {
		return err
	}
	if t.Told, err = answer[TranscriptTold](res); err != nil {
		return err
	}
	if t.Calls, err = answer[TranscriptCall](res); err != nil {
		return err
	}
	if t.Feedback, err = answer[TranscriptFeedback](res); err != nil {
		return err
	}
	if t.Scores, err = answer[TranscriptScore](res); err != nil {
		return err
	}
	t.Activities, err = answer[TranscriptActivity](res)
	return err
}

func answer[T any](res pgx.BatchResults) ([]T, error) {
	rows, _ := res.Query()
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}
