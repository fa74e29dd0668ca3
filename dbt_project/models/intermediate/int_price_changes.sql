{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ forget_changed_partitions('changes', 'change_month') }}"
    )
}}

with changes as (

    select *
    from {{ ref('fct_item_changes') }}
    where
        kind = 'changed'
        {% if is_incremental() -%}
            and {{ in_changed_partitions('changes', 'change_month', 'observed_at') }}
        {% endif %}

),

-- Items that name another currency than before, in a field of its own.
other_currencies as (

    select distinct
        strategy,
        job_id,
        item_key
    from changes
    where field in ('currency', 'price_currency', 'priceCurrency')

),

money as (

    select *
    from changes
    where
        old_currency is not null
        or new_currency is not null
        or regexp_matches({{ names_in('field') }}, '{{ var("money_fields") }}')

),

-- Prices in several currencies are no two states of one number; nothing costs nothing in each of them.
alike as (

    select money.*
    from money
    left join other_currencies
        on
            money.strategy = other_currencies.strategy
            and money.job_id = other_currencies.job_id
            and money.item_key = other_currencies.item_key
    where
        0 in (money.old_number, money.new_number)
        or money.old_currency = money.new_currency
        or (money.old_currency is null and money.new_currency is null and other_currencies.job_id is null)

),

final as (

    select
        change_id,
        strategy,
        job_id,
        target,
        url,
        parameters,
        item_key,
        field,
        old_number as old_price,
        new_number as new_price,
        coalesce(new_currency, old_currency) as currency,
        observed_at,
        observed_on,
        change_month
    from alike
    where old_number <> new_number

)

select * from final
