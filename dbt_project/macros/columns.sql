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


{#- The readable name of an item: the first of the usual naming fields that it has, else its key. -#}
{% macro label_of(item, item_key) %}
    coalesce(
        json_extract_string({{ item }}, '$.title'),
        json_extract_string({{ item }}, '$.name'),
        json_extract_string({{ item }}, '$.headline'),
        json_extract_string({{ item }}, '$.heading'),
        {{ item_key }}
    )
{% endmacro %}


{#- The currency of an amount of money (JSON text) as the site writes it: the warehouse's own macro decides. -#}
{% macro currency_in(value) %}
    {{- 'published.' if target.name == 'dev' }}meter.currency({{ value }})
{%- endmacro %}


{#- Whether a change is a change of money: by the field's name, or by a currency in either value. -#}
{% macro is_money(field, old_value, new_value) %}
    (
        regexp_matches(lower({{ field }}), '{{ var("money_fields") }}')
        or {{ currency_in(old_value) }} is not null
        or {{ currency_in(new_value) }} is not null
    )
{% endmacro %}


{#- A price: the number in the value, or 0 if the value says that the item is free. -#}
{% macro price_of(value, number) %}
    case
        when {{ number }} is not null then {{ number }}
        when regexp_matches(lower({{ value }}), '^"\s*({{ var("free_of_charge") }})[.!]?\s*"$') then 0
    end
{% endmacro %}


{#- The currency of a price as the site writes it, sign or code: from one of the values, else from the item. -#}
{% macro currency_of(old_value, new_value, item) %}
    coalesce(
        {{ currency_in(new_value) }},
        {{ currency_in(old_value) }},
        nullif(regexp_extract(
            coalesce(
                json_extract_string({{ item }}, '$.currency'),
                json_extract_string({{ item }}, '$.price_currency'),
                json_extract_string({{ item }}, '$.priceCurrency')
            ),
            '^\s*(\p{L}{1,5}|\p{Sc})\s*$', 1
        ), '')
    )
{% endmacro %}
