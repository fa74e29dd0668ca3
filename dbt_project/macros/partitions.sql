{#
  Models over the long history are built partition by partition: a strategy's month, as in the lake. A partition whose
  files differ from those that the last publication was made of is deleted and built anew, whatever changed in it: jobs
  that came late or were released, keys that were chosen anew, rows that are gone. Everything else is as it was, so that
  an incremental build equals a full one as long as a row of the model depends on nothing outside of its partition.
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
