{#
  Relations are named by schema and table alone: a view that names its database as well breaks as soon as somebody
  attaches the warehouse under another name.
#}
{% macro ref() %}
    {%- do return(builtins.ref(*varargs, **kwargs).include(database=false)) -%}
{% endmacro %}


{% macro source(source_name, table_name) %}
    {#- While models are worked on, the sources are those of the published warehouse, attached beside the target. -#}
    {%- set relation = builtins.source(source_name, table_name) -%}
    {%- do return(relation if target.name == 'dev' else relation.include(database=false)) -%}
{% endmacro %}


{% macro generate_schema_name(custom_schema_name, node) %}
    {{- custom_schema_name if custom_schema_name else target.schema -}}
{% endmacro %}
