{#
  Relations are named by schema and table alone: a view that also names its database breaks when the warehouse is
  attached under another name.
#}
{% macro ref() %}
    {%- do return(builtins.ref(*varargs, **kwargs).include(database=false)) -%}
{% endmacro %}


{% macro source(source_name, table_name) %}
    {#- In development the sources are those of the published warehouse, which is attached to the target. -#}
    {%- set relation = builtins.source(source_name, table_name) -%}
    {%- do return(relation if target.name == 'dev' else relation.include(database=false)) -%}
{% endmacro %}


{% macro generate_schema_name(custom_schema_name, node) %}
    {{- custom_schema_name if custom_schema_name else target.schema -}}
{% endmacro %}
