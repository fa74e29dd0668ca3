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


{#- The rows of a job are its items, each once: as many as the ledger counts, numbered from 0. -#}
{% test are_whole_jobs(model, jobs) %}
    with numbered as (

        select
            job_id,
            count(*) as items,
            min(item_index) as first_index,
            max(item_index) as last_index,
            sum(item_index) as indexes
        from {{ model }}
        group by job_id

    )

    select numbered.*
    from numbered
    left join {{ jobs }} as jobs on numbered.job_id = jobs.job_id
    where
        numbered.items is distinct from jobs.item_count
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
