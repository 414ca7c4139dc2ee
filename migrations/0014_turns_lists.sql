-- 0014_turns_lists.sql: the slowest turns, and the newest that were not understood, without a look at the others.

-- +goose Up
create index turns_response on turns (response_ms desc nulls last);
create index turns_fallback on turns (at desc) where fallback and not platform;
