-- 0040_sign_ins.sql: at each sign-in it is looked up how often the password was wrong, and whether the user came from there before.

-- +goose Up
create index audit_log_sign_ins on audit_log (actor, at) where act in ('sign-in.failed', 'sign-in.done');
