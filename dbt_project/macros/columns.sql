{% macro utc_day(moment) %}
    cast({{ moment }} at time zone 'UTC' as date)
{% endmacro %}


{% macro utc_month(moment) %}
    strftime({{ moment }} at time zone 'UTC', '%Y-%m')
{% endmacro %}


{#- A key made of several columns, which may be null. -#}
{% macro key_of(columns) %}
    md5(concat_ws('|', {% for column in columns %}coalesce({{ column }}, '-'){{ ', ' if not loop.last }}{% endfor %}))
{% endmacro %}


{#- The names in a field's path in lower case, without the keys of elements, which are scraped text. -#}
{% macro names_in(field) %}
    regexp_replace(lower({{ field }}), '\[("(\\.|[^"\\])*"|[^"\]])*\]', '', 'g')
{%- endmacro %}


{#- What an item names as the currency of its prices. -#}
{% macro named_currency(item) %}
    trim(coalesce(
        json_extract_string({{ item }}, '$.currency'),
        json_extract_string({{ item }}, '$.price_currency'),
        json_extract_string({{ item }}, '$.priceCurrency')
    ))
{% endmacro %}


{#- The currency that an item names for its prices, sign or code. -#}
{% macro currency_of_item(item) %}
    case when length({{ named_currency(item) }}) between 1 and 5 then {{ named_currency(item) }} end
{% endmacro %}
