{#- Which time is asked for, in seconds since 1970, and how the connection's database tells the seconds of a column
    whose times are in UTC. Seconds, because databases agree on hardly anything else about times. -#}
{%- macro second_of(text) -%}
{%- set moment = macros.datetime.fromisoformat(text) -%}
{{ moment.replace(tzinfo=moment.tzinfo or dag_run.start_date.tzinfo).timestamp() | int }}
{%- endmacro -%}
{%- set until = second_of(params.until) | int if params.until else dag_run.start_date.timestamp() | int -%}
{#- An hour less than max_age, 72 hours: an older event cannot be credited to its day any more. -#}
{%- set since = second_of(params.since) | int if params.since else until - 71 * 3600 -%}
{%- set settling = params.settling_minutes * 60 -%}

{%- macro seconds(column) -%}
{{ {
    "postgres": "FLOOR(EXTRACT(EPOCH FROM " ~ column ~ "))",
    "sqlite": "CAST(strftime('%s', " ~ column ~ ") AS INTEGER)",
    "snowflake": "DATE_PART(EPOCH_SECOND, " ~ column ~ ")",
    "gcpbigquery": "UNIX_SECONDS(TIMESTAMP(" ~ column ~ "))",
}[conn[task.sql_conn_id].conn_type] }}
{%- endmacro -%}
