-- 0033_shown_words.sql: what the search finds for who may not see personal data. Where they are masked on display, it is indexed again.

-- +goose Up
alter table conversation_texts add column shown tsvector;
comment on column conversation_texts.shown is 'the words that are left when personal data are masked on display; null: those of words';
insert into search_marks (senders, whole)
select array_agg(id), true
from (select id, row_number() over (order by id) / 500 as part from senders) as s
where exists (select from settings where name = 'masking' and value ->> 'on_display' = 'true')
group by part;
