-- 0060_steps_statistics.sql: how many rows a flow has in the table of stack frames of rasa_pro, for the planner.

-- +goose Up
create statistics flow_steps_shown on ((nullif(flow_id, '')::varchar(255))), ((nullif(step_id, '')::varchar(255))) from flow_steps;
