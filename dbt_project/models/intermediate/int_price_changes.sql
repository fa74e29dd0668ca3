{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ forget_changed_partitions('changes', 'change_month') }}"
    )
}}

with changes as (

    select
        *,
        {{ currency_in('old_value') }} as old_currency,
        {{ currency_in('new_value') }} as new_currency
    from {{ ref('fct_item_changes') }}
    where
        kind = 'changed'
        {% if is_incremental() -%}
            and {{ in_changed_partitions('changes', 'change_month', 'observed_at') }}
        {% endif %}

),

money as (

    select
        *,
        {{ price_of('old_value', 'old_number') }} as old_price,
        {{ price_of('new_value', 'new_number') }} as new_price
    from changes
    where
        old_currency is not null
        or new_currency is not null
        or regexp_matches({{ names_in('field') }}, '{{ var("money_fields") }}')

),

final as (

    select
        change_id,
        strategy,
        job_id,
        url,
        parameters,
        item_key,
        field,
        old_price,
        new_price,
        coalesce(new_currency, old_currency) as currency,
        observed_at,
        observed_on,
        change_month
    from money
    where old_price <> new_price

)

select * from final
