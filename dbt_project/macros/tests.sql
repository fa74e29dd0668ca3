{#- A key: never null, and once. One query, where `not_null` and `unique` are two. -#}
{% test is_key(model, column_name) %}
    select
        {{ column_name }},
        count(*) as occurrences
    from {{ model }}
    group by all
    having
        count(*) > 1
        or {{ column_name }} is null
{% endtest %}


{#-
  The rows of a job and its rejected items are all its items, each once: as many as the ledger counts, numbered from 0.
-#}
{% test are_whole_jobs(model, jobs) %}
    with received as (

        select
            job_id,
            item_index,
            0 as rejected
        from {{ model }}
        union all
        select
            job_id,
            item_index,
            1 as rejected
        from {{ 'published.' if target.name == 'dev' }}meter.rejected_items

    ),

    numbered as (

        select
            job_id,
            count(*) as items,
            sum(rejected) as rejected,
            min(item_index) as first_index,
            max(item_index) as last_index,
            sum(item_index) as indexes
        from received
        group by job_id
        -- Rejected items of jobs that are not tested here have no other rows beside them.
        having min(rejected) = 0

    )

    select numbered.*
    from numbered
    left join {{ jobs }} as jobs on numbered.job_id = jobs.job_id
    where
        numbered.items - numbered.rejected is distinct from jobs.item_count
        or numbered.rejected is distinct from coalesce(jobs.rejected_count, 0)
        or numbered.first_index is distinct from 0
        or numbered.last_index is distinct from numbered.items - 1
        or numbered.indexes is distinct from numbered.items * (numbered.items - 1) // 2
{% endtest %}


{#- Rows are unique by several columns together; nulls count as equal. -#}
{% test unique_combination(model, columns) %}
    select
        {{ columns | join(', ') }},
        count(*) as occurrences
    from {{ model }}
    group by all
    having count(*) > 1
{% endtest %}


{#
  Tests of long tables cover new rows only: `where: __changed_in_raw__` and `where: __changed_in_changes__` select the
  partitions of the lake that have changed since the last publication, `where: __changed_strategies__` the strategies
  with one. In development all rows are tested.
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if where not in ('__changed_in_raw__', '__changed_in_changes__', '__changed_strategies__') -%}
        {%- do return(dbt.get_where_subquery(relation)) -%}
    {%- elif target.name == 'dev' -%}
        {%- do return(relation) -%}
    {%- elif where == '__changed_in_raw__' -%}
        {%- set condition = in_changed_partitions('raw', utc_month('observed_at'), 'observed_at') -%}
    {%- elif where == '__changed_in_changes__' -%}
        {%- set condition = in_changed_partitions('changes', 'change_month', 'observed_at') -%}
    {%- else -%}
        {%- set condition = "strategy in (select strategy from meter.changed_partitions)" -%}
    {%- endif -%}
    {%- do return("(select * from " ~ relation ~ " where " ~ condition ~ ") as changed") -%}
{%- endmacro %}
