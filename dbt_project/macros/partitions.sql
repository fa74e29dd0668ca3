{#
  Models over the long history are built by partition: a strategy's month, as in the lake. A partition that has changed
  since the publication that a table was carried from is deleted and rebuilt, whatever changed in it: late or released
  jobs, another key, rows that are gone. Everything else stays, so that an incremental build equals a full one as long as
  a row of the model depends on nothing outside its partition.

  The partitions are named by constants: DuckDB skips files and row groups by these, and not by the rows of a subquery.
  Where there are more than this, it takes no longer to read everything.
#}
{% macro most_named_partitions() %}{{ return(400) }}{% endmacro %}


{% macro changed_partitions(table_name) %}
    select
        strategy,
        month
    from {{ source('meter', 'changed_partitions') }}
    where table_name = '{{ table_name }}'
{% endmacro %}


{#- Whether a row is in a changed partition: a condition on its strategy, its month, and, if there is one, its time. -#}
{% macro in_changed_partitions(table_name, month, moment=none) %}
    {%- set changed = [] -%}
    {%- if execute -%}
        {%- set limit = most_named_partitions() + 1 -%}
        {%- set changed = run_query(changed_partitions(table_name) ~ ' limit ' ~ limit).rows -%}
    {%- endif -%}
    {%- if not changed -%}
        false
    {%- elif changed | length > most_named_partitions() -%}
        (strategy, {{ month }}) in ({{ changed_partitions(table_name) }})
    {%- else -%}
        {%- set months = changed | map(attribute='month') | unique | sort -%}
        strategy in ({{ quoted(changed | map(attribute='strategy') | unique | sort) }})
        {%- if moment %}
            and {{ moment }} >= cast('{{ months | first }}-01 00:00:00+00' as timestamp with time zone)
            and {{ moment }} < cast('{{ months | last }}-01 00:00:00+00' as timestamp with time zone) + interval 32 day
        {%- endif %}
            and concat(strategy, ' ', {{ month }}) in (
        {{- quoted(changed_names(changed)) -}}
        )
    {%- endif -%}
{% endmacro %}


{% macro changed_names(partitions) %}
    {%- set names = [] -%}
    {%- for partition in partitions -%}
        {%- do names.append(partition['strategy'] ~ ' ' ~ partition['month']) -%}
    {%- endfor -%}
    {{- return(names | sort) -}}
{% endmacro %}


{% macro quoted(texts) %}
    {%- set found = [] -%}
    {%- for text in texts -%}
        {%- do found.append("'" ~ text.replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{- return(found | join(', ')) -}}
{% endmacro %}


{% macro forget_changed_partitions(table_name, month_column) %}
    {%- if is_incremental() -%}
        delete from {{ this.include(database=false) }}
        where {{ in_changed_partitions(table_name, month_column) }}
    {%- endif -%}
{% endmacro %}
