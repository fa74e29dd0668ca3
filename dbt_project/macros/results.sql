{#
  The typed rows of a strategy. They need a table in the source `results` that is named after the strategy's slug:
  `meter-pipeline model SLUG` writes it, with a staging model.
#}

{#-
  A strategy's table of results with every column that its source declares. A column goes when the jobs that brought it
  are held or dropped, and another folder's warehouse may lack the table: both are empty then, and models still build.
-#}
{% macro _declared_results(slug) %}
    {%- set table = source('results', slug) -%}
    {%- if execute -%}
        {%- set named = builtins.source('results', slug) -%}
        {%- set is_there = adapter.get_relation(named.database, named.schema, named.identifier) is not none -%}
        {%- set present = run_query('describe ' ~ table).columns[0].values() if is_there else () -%}
        {%- set types = {} if is_there else {
            '_meter_job_id': 'varchar', '_meter_schedule_id': 'varchar', '_meter_url': 'varchar',
            '_meter_item_index': 'bigint', '_meter_completed_at': 'timestamp with time zone',
            '_meter_item_key': 'varchar', '_meter_item_hash': 'varchar'
        } -%}
        {%- for node in graph.sources.values() if (node.source_name, node.name) == ('results', slug) -%}
            {%- for column in node.columns.values() if column.name not in present -%}
                {%- do types.update({column.name: column.data_type or 'varchar'}) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set empty = [] -%}
        {%- for name, type in types.items() -%}
            {%- do empty.append('cast(null as ' ~ type ~ ') as ' ~ adapter.quote(name)) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if not execute or not empty -%}
        {{ table }}
    {%- elif is_there -%}
        (select *, {{ empty | join(', ') }} from {{ table }})
    {%- else -%}
        (select {{ empty | join(', ') }} where false)
    {%- endif -%}
{% endmacro %}


{#-
  Typed rows of all accepted jobs, with the job's target, as in `meter.item_versions`: where the pages of a run are one
  list, it is the schedule.
-#}
{% macro meter_results(slug) %}
    (
        select
            results.*,
            jobs.url as _meter_target_url,
            jobs.parameters as _meter_parameters,
            case
                when strategies.identity ->> '$.compare' = 'run'
                    then coalesce('schedule ' || jobs.schedule_id, 'no schedule')
                else jobs.url
            end as _meter_target
        from {{ _declared_results(slug) }} as results
        inner join {{ ref('stg_meter__jobs') }} as jobs on results._meter_job_id = jobs.job_id
        inner join {{ ref('stg_meter__strategies') }} as strategies on jobs.strategy = strategies.strategy
    )
{% endmacro %}


{#- The site as it was at a moment (an SQL expression or a quoted timestamp): the last accepted job of each target. -#}
{% macro meter_as_of(slug, moment) %}
    (
        select results.*
        from {{ meter_results(slug) }} as results
        semi join (
            select job_id
            from {{ ref('stg_meter__jobs') }}
            where
                strategy = '{{ slug }}'
                and state = 'accepted'
                and observed_at <= cast({{ moment }} as timestamp with time zone)
            qualify row_number() over (
                partition by url, parameters
                order by observed_at desc, job_id desc
            ) = 1
        ) as latest on results._meter_job_id = latest.job_id
    )
{% endmacro %}


{#- The site now: the last accepted job of each target. -#}
{% macro meter_latest(slug) %}
    {{ meter_as_of(slug, "'infinity'") }}
{% endmacro %}


{#- A field's values over time: one row for each item and time at which the value changed. -#}
{% macro meter_history(slug, field) %}
    (
        select
            _meter_target_url as url,
            _meter_parameters as parameters,
            _meter_item_key as item_key,
            _meter_completed_at as observed_at,
            {{ adapter.quote(field) }} as value,
            lag({{ adapter.quote(field) }}) over item as previous_value
        from {{ meter_results(slug) }}
        window item as (
            partition by _meter_target, _meter_parameters, _meter_item_key
            order by _meter_completed_at, _meter_job_id
        )
        qualify
            row_number() over item = 1
            or {{ adapter.quote(field) }} is distinct from lag({{ adapter.quote(field) }}) over item
    )
{% endmacro %}
