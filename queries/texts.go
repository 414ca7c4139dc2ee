package queries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/search"
)

const MarkSearchSQL = `insert into search_marks (senders) values (@senders::bigint[])`

const searchBacklogSQL = `select coalesce(sum(cardinality(senders)), 0)::bigint from search_marks`

// SearchBacklog returns how many senders are marked to be indexed, some more than once.
func SearchBacklog(ctx context.Context, db DB) (int64, error) {
	rows, _ := db.Query(ctx, searchBacklogSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

const lockSearchSQL = `select one from search_state for update skip locked`

const takeSearchMarksSQL = `
delete from search_marks
where id in (
	select s.id
	from (select m.id, sum(cardinality(m.senders)) over (order by m.id) - cardinality(m.senders) as before
		from (select id, senders from search_marks order by id limit @limit) as m) as s
	where s.before < 500)
returning senders, whole`

const changedTextsSQL = `
select c.sender_id, c.id, c.started_at, c.last_at, c.xmin::text::bigint as version, s.sender_key, c.user_id,
	coalesce((
		select string_agg(n.text, E'\n' order by n.created_at, n.id)
		from notes n
		where n.sender_id = c.sender_id and n.conversation_id = c.id and n.deleted_at is null), '') as notes,
	coalesce((
		select string_agg(t.name, E'\n' order by t.name)
		from conversation_tags x
		join tags t on t.id = x.tag_id
		where x.sender_id = c.sender_id and x.conversation_id = c.id), '') as tags
from conversations c
join senders s on s.id = c.sender_id
left join conversation_texts t on t.sender_id = c.sender_id and t.conversation_id = c.id
where c.sender_id = any(@senders::bigint[]) and (c.sender_id = any(@whole::bigint[]) or t.row_version is distinct
	from c.xmin::text::bigint)
order by c.sender_id, c.id`

const textsOfSQL = `
select k.n, m.text, m.entities
from unnest(@senders::bigint[], @ids::uuid[], @froms::timestamptz[], @untils::timestamptz[]) with ordinality as k
	(sender_id, id, from_at, until_at, n)
cross join lateral (
	select x.text, x.seq, x.entities
	from messages x
	where x.sender_id = k.sender_id and x.at between k.from_at and k.until_at and x.conversation_id = k.id
		and x.text <> ''
	offset 0
) as m
order by k.n, m.seq`

const storeTextsSQL = `
insert into conversation_texts (sender_id, conversation_id, started_at, row_version, words, shown)
select k.sender_id, k.id, k.at, k.version, k.words::tsvector, k.shown::tsvector
from unnest(@senders::bigint[], @ids::uuid[], @ats::timestamptz[], @versions::bigint[], @words::text[],
	@shown::text[]) as k (sender_id, id, at, version, words, shown)
on conflict (sender_id, conversation_id) do update
set started_at = excluded.started_at, row_version = excluded.row_version, words = excluded.words, shown = excluded.shown`

const storeVocabularySQL = `
insert into search_words (word)
select k.word
from unnest(@words::text[]) as k (word)
where not exists (select from search_words w where w.word = k.word)
order by 1
on conflict (word) do nothing`

const sweepWordsSQL = `
with few as (select word from search_words where word > @after order by word limit 1000),
gone as (
	delete from search_words w
	using few s
	where w.word = s.word and not exists (select from conversation_texts t
		where t.words @@ quote_literal(s.word)::tsquery)
)
select coalesce(max(word), '') from few`

// SweepWords forgets those of the next 1,000 words of the vocabulary after one that stand in no text any more, and
// returns the last it looked at; "" at the end.
func SweepWords(ctx context.Context, db DB, after string) (string, error) {
	rows, _ := db.Query(ctx, sweepWordsSQL, pgx.StrictNamedArgs{"after": after})
	last, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("sweep the vocabulary: %w", err)
	}
	return last, nil
}

const forgetTextsSQL = `
delete from conversation_texts t
where t.sender_id = any(@senders::bigint[])
	and not exists (select from conversations c where c.sender_id = t.sender_id and c.id = t.conversation_id)`

const refreshTextsSQL = `insert into search_marks (senders, whole) values (@senders::bigint[], true)`

// sendersAtOnce is how many senders one mark names at most.
const sendersAtOnce = 500

// RefreshTexts has the conversations of senders indexed again: a note or a tag of theirs changed.
func RefreshTexts(ctx context.Context, db DB, senders []int64) error {
	senders = slices.Compact(slices.Sorted(slices.Values(senders)))
	for part := range slices.Chunk(senders, sendersAtOnce) {
		if _, err := db.Exec(ctx, refreshTextsSQL, pgx.StrictNamedArgs{"senders": part}); err != nil {
			return err
		}
	}
	return nil
}

const refreshAllTextsSQL = `insert into search_marks (senders, whole) select array_agg(id), true
	from (select id, row_number() over (order by id) / @part as part from senders) as s group by part`

// refreshAllTexts has all conversations indexed again.
func refreshAllTexts(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, refreshAllTextsSQL, pgx.StrictNamedArgs{"part": sendersAtOnce})
	return err
}

const dropSearchMarkSQL = `delete from search_marks where id = (select min(id) from search_marks) returning senders`

// DropSearchMark gives up the oldest mark, which cannot be indexed, and returns how many senders it named.
func DropSearchMark(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, _ := tx.Query(ctx, dropSearchMarkSQL)
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]int64])
	if err != nil {
		return 0, err
	}
	senders := slices.Concat(all...)
	return len(senders), MarkOutgoing(ctx, tx, senders)
}

// changedText is a conversation to be indexed.
type changedText struct {
	SenderID  int64
	ID        conversation.UUID
	StartedAt time.Time
	LastAt    time.Time
	Version   int64
	SenderKey string
	UserID    string
	Notes     string
	Tags      string
}

// textsAtOnce is how many conversations are indexed by one statement.
const textsAtOnce = 100

// IndexTexts indexes the conversations of at most limit marks, in one transaction, and returns how many marks it took;
// -1 when another process is at it.
func IndexTexts(ctx context.Context, tx pgx.Tx, limit int) (marks int, err error) {
	rows, _ := tx.Query(ctx, lockSearchSQL)
	if locked, err := pgx.CollectRows(rows, pgx.RowTo[bool]); err != nil || len(locked) == 0 {
		return -1, err
	}
	rows, _ = tx.Query(ctx, takeSearchMarksSQL, pgx.StrictNamedArgs{"limit": limit})
	senders, again := []int64{}, []int64{}
	var some []int64
	var whole bool
	if _, err := pgx.ForEachRow(rows, []any{&some, &whole}, func() error {
		marks++
		senders = append(senders, some...)
		if whole {
			again = append(again, some...)
		}
		some = nil
		return nil
	}); err != nil || marks == 0 {
		return 0, err
	}
	slices.Sort(senders)
	senders = slices.Compact(senders)
	if err := MarkOutgoing(ctx, tx, senders); err != nil {
		return 0, err
	}
	rows, _ = tx.Query(ctx, changedTextsSQL, pgx.StrictNamedArgs{"senders": senders, "whole": again})
	changed, err := pgx.CollectRows(rows, pgx.RowToStructByName[changedText])
	if err != nil {
		return 0, fmt.Errorf("changed conversations: %w", err)
	}
	m, err := DisplayMask(ctx, tx)
	if err != nil {
		return 0, err
	}
	words := map[string]struct{}{}
	for part := range slices.Chunk(changed, textsAtOnce) {
		if err := storeTexts(ctx, tx, part, m, words); err != nil {
			return 0, err
		}
	}
	all := make([]string, 0, len(words))
	for w := range words {
		all = append(all, w)
	}
	if len(all) > 0 {
		if _, err := tx.Exec(ctx, storeVocabularySQL, pgx.StrictNamedArgs{"words": all}); err != nil {
			return 0, fmt.Errorf("vocabulary: %w", err)
		}
	}
	_, err = tx.Exec(ctx, forgetTextsSQL, pgx.StrictNamedArgs{"senders": senders})
	return marks, err
}

func storeTexts(
	ctx context.Context, tx pgx.Tx, part []changedText, m *mask.Masker, vocabulary map[string]struct{},
) error {
	n := len(part)
	senders, ids, froms, untils, versions := make([]int64, n), make([][16]byte, n), make([]time.Time, n),
		make([]time.Time, n), make([]int64, n)
	var told map[conversation.UUID][]mask.Value
	documents, words, masked, shown := make([]search.Document, n), make([]string, n), make([]search.Document, n),
		make([]*string, n)
	differ := make([]bool, n)
	add := func(i int, text string, entities *string) {
		documents[i].Add(text)
		if m != nil {
			said, _ := m.Entities(text, entities)
			said = m.With(told[part[i].ID]).Shown(said)
			masked[i].Add(said)
			differ[i] = differ[i] || said != text
		}
	}
	ofPart := make([]conversation.UUID, n)
	for i, c := range part {
		ofPart[i] = c.ID
	}
	var err error
	if told, err = ToldIn(ctx, tx, m, ofPart); err != nil {
		return err
	}
	for i, c := range part {
		senders[i], ids[i], froms[i], untils[i], versions[i] = c.SenderID, c.ID, c.StartedAt, c.LastAt, c.Version
		for _, text := range []string{c.ID.String(), c.SenderKey, c.UserID, c.Tags, c.Notes} {
			add(i, text, nil)
		}
	}
	if err := eachText(ctx, tx, pgx.StrictNamedArgs{
		"senders": senders, "ids": ids, "froms": froms, "untils": untils,
	}, add); err != nil {
		return fmt.Errorf("texts: %w", err)
	}
	for i := range documents {
		words[i] = documents[i].TSVector()
		if differ[i] {
			left := masked[i].TSVector()
			shown[i] = &left
		}
		for _, w := range documents[i].Vocabulary() {
			vocabulary[w] = struct{}{}
		}
	}
	_, err = tx.Exec(ctx, storeTextsSQL, pgx.StrictNamedArgs{
		"senders": senders, "ids": ids, "ats": froms, "versions": versions, "words": words, "shown": shown,
	})
	if err != nil {
		err = fmt.Errorf("store search documents: %w", err)
	}
	return err
}

// eachText reads what was said in conversations, which are counted from 0.
func eachText(
	ctx context.Context, tx pgx.Tx, of pgx.StrictNamedArgs, add func(i int, text string, entities *string),
) error {
	rows, _ := tx.Query(ctx, textsOfSQL, of)
	var at int64
	var text string
	var entities *string
	_, err := pgx.ForEachRow(rows, []any{&at, &text, &entities}, func() error {
		add(int(at-1), text, entities)
		entities = nil
		return nil
	})
	return err
}
