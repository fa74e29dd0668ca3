{#- Rows are unique by several columns together; nulls count as equal. -#}
{% test unique_combination(model, columns) %}
    select
        {{ columns | join(', ') }},
        count(*) as occurrences
    from {{ model }}
    group by all
    having count(*) > 1
{% endtest %}


{#- Two columns of a row are equal. -#}
{% test equal_columns(model, column_name, other) %}
    select
        {{ column_name }},
        {{ other }}
    from {{ model }}
    where {{ column_name }} is distinct from {{ other }}
{% endtest %}


{#
  Tests of long tables cover new rows only: `where: __changed_in_raw__` and `where: __changed_in_changes__` select the
  partitions of the lake whose files differ from those of the last publication. In development all rows are tested.
#}
{% macro get_where_subquery(relation) -%}
    {%- set months = {
        '__changed_in_raw__': ('raw', utc_month('observed_at')),
        '__changed_in_changes__': ('changes', 'change_month'),
    } -%}
    {%- set where = config.get('where', '') -%}
    {%- if where not in months -%}
        {%- do return(dbt.get_where_subquery(relation)) -%}
    {%- elif target.name == 'dev' -%}
        {%- do return(relation) -%}
    {%- endif -%}
    {%- set table_name, month = months[where] -%}
    {%- set changed -%}
        (
            select * from {{ relation }}
            where (strategy, {{ month }}) in (
                select (strategy, month) from meter.changed_partitions where table_name = '{{ table_name }}'
            )
        ) as changed
    {%- endset -%}
    {%- do return(changed) -%}
{%- endmacro %}
