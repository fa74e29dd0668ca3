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


{#- The currency of an amount of money (JSON text) as the site writes it: the warehouse's own macro decides. -#}
{% macro currency_in(value) %}
    {{- 'published.' if target.name == 'dev' }}meter.currency({{ value }})
{%- endmacro %}


{#- The names in a field's path in lower case, without the keys of elements: scraped text says nothing about a field. -#}
{% macro names_in(field) %}
    regexp_replace(lower({{ field }}), '\[("(\\.|[^"\\])*"|[^"\]])*\]', '', 'g')
{%- endmacro %}


{#- A price: the number in the value, or 0 if the value says that the item is free. -#}
{% macro price_of(value, number) %}
    case
        when {{ number }} is not null then {{ number }}
        when regexp_matches(lower({{ value }}), '^"\s*({{ var("free_of_charge") }})[.!]?\s*"$') then 0
    end
{% endmacro %}


{#- The currency that an item names for its prices, sign or code. -#}
{% macro currency_of_item(item) %}
    nullif(regexp_extract(
        coalesce(
            json_extract_string({{ item }}, '$.currency'),
            json_extract_string({{ item }}, '$.price_currency'),
            json_extract_string({{ item }}, '$.priceCurrency')
        ),
        '^\s*(\p{L}{1,5}|\p{Sc})\s*$', 1
    ), '')
{% endmacro %}
