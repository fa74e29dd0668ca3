{#
  Models over the long history are built by partition: a strategy's month, as in the lake. A partition whose files differ
  from those of the last publication is deleted and rebuilt, whatever changed in it: late or released jobs, another key,
  rows that are gone. Everything else stays, so that an incremental build equals a full one as long as a row of the model
  depends on nothing outside its partition.
#}
{% macro changed_partitions(table_name) %}
    select
        strategy,
        month
    from {{ source('meter', 'changed_partitions') }}
    where table_name = '{{ table_name }}'
{% endmacro %}


{% macro forget_changed_partitions(table_name, month_column) %}
    {%- if is_incremental() -%}
        delete from {{ this.include(database=false) }}
        where (strategy, {{ month_column }}) in ({{ changed_partitions(table_name) }})
    {%- endif -%}
{% endmacro %}
