{{ config(materialized='view') }}

with changes as (

    select * from {{ ref('fct_item_changes') }}

),

items as (

    select * from {{ ref('dim_items') }}

),

money as (

    select
        *,
        {{ key_of(['strategy', 'url', 'parameters', 'item_key']) }} as item_id,
        {{ price_of('old_value', 'old_number') }} as old_price,
        {{ price_of('new_value', 'new_number') }} as new_price
    from changes
    where
        kind = 'changed'
        and {{ is_money('field', 'old_value', 'new_value') }}

),

prices as (

    select * from money
    where old_price <> new_price

),

final as (

    select
        prices.change_id,
        prices.item_id,
        prices.strategy,
        prices.job_id,
        prices.url,
        prices.parameters,
        prices.item_key,
        items.label,
        prices.field,
        prices.old_price,
        prices.new_price,
        {{ currency_of('prices.old_value', 'prices.new_value', 'items.item') }} as currency,
        prices.new_price - prices.old_price as difference,
        prices.new_price / nullif(prices.old_price, 0) - 1 as relative_change,
        case when prices.new_price > prices.old_price then 'up' else 'down' end as direction,
        prices.observed_at,
        prices.observed_on
    from prices
    left join items on prices.item_id = items.item_id

)

select * from final
