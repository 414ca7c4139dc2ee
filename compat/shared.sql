-- What every schema has beside its tables. :schema is its name.

-- Whoever may execute this reads what was said, and by whom.
create function texts() returns void language sql as '';
revoke execute on function texts() from public;
create function texts_shown() returns boolean
language sql stable parallel safe
as $$ select has_function_privilege(':schema.texts()', 'execute') and current_setting('turnwise.texts', true) is distinct from 'off' $$;

-- What is stored is JSON, of which a rebuild would say the same; {} where retention removed it. Nothing here catches
-- errors: functions that do cannot run in parallel.
create function json_of(body text) returns json
language sql immutable parallel safe
return coalesce(body, '{}')::json;

-- The same for what JSONB holds: not numbers with an exponent of six digits. Null where there is none.
create function jsonb_of(body text) returns jsonb
language sql immutable parallel safe
return case
	when body = '' then null
	when body !~ '[:,\[][[:space:]]*-?[0-9.]+[eE][+-]?[0-9]{6}' then body::jsonb
	when regexp_replace(body, '"(\\.|[^"\\])*"', '""', 'g') !~ '[:,\[][[:space:]]*-?[0-9.]+[eE][+-]?[0-9]{6}' then body::jsonb
end;

create function number_of(value text) returns double precision
language sql immutable parallel safe
return case when value ~ '^-?[0-9]{1,200}([.][0-9]{1,200})?([eE][+-]?[0-9]{1,2})?$' then value::double precision end;

create function integer_of(value text) returns integer
language sql immutable parallel safe
return case when value ~ '^-?[0-9]{1,9}([.][0-9]{0,200})?$' then value::numeric::integer end;

create function inet_of(value text) returns inet
language sql immutable parallel safe
return case
	when value ~* '^(::ffff:)?((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$'
		or value ~* '^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,7}:|([0-9a-f]{1,4}:){1,6}(:[0-9a-f]{1,4})|([0-9a-f]{1,4}:){1,5}(:[0-9a-f]{1,4}){1,2}|([0-9a-f]{1,4}:){1,4}(:[0-9a-f]{1,4}){1,3}|([0-9a-f]{1,4}:){1,3}(:[0-9a-f]{1,4}){1,4}|([0-9a-f]{1,4}:){1,2}(:[0-9a-f]{1,4}){1,5}|[0-9a-f]{1,4}:(:[0-9a-f]{1,4}){1,6}|:((:[0-9a-f]{1,4}){1,7}|:))$'
		then value::inet
end;

-- Whether JSON says yes: true, or anything that is neither false, 0 nor empty. Null where nothing is told.
create function truth_of(value jsonb) returns boolean
language sql immutable strict parallel safe
as $$ select case when value <> 'null' then value <> all('{false,0,"\"\"","{}","[]"}'::jsonb[]) end $$;

-- The members of an object whose names begin so, without that.
create function members_of(value jsonb, prefix text) returns jsonb
language sql immutable strict parallel safe
as $$
	select jsonb_object_agg(substr(key, length(prefix) + 1), x.value)
	from jsonb_each(value) as x (key, value)
	where starts_with(key, prefix)
$$;

-- The texts of a list.
create function texts_of(value jsonb) returns text[]
language sql immutable strict parallel safe
as $$ select case when jsonb_typeof(value) = 'array' then array(select jsonb_array_elements_text(value)) end $$;
