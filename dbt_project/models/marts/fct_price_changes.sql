{{ config(materialized='view') }}

with changes as (

    select * from {{ ref('fct_item_changes') }}

),

items as (

    select * from {{ ref('dim_items') }}

),

prices as (

    select
        *,
        {{ key_of(['strategy', 'url', 'parameters', 'item_key']) }} as item_id
    from changes
    where
        kind = 'changed'
        and old_number is not null
        and new_number is not null
        and old_number <> new_number
        and {{ is_money('field', 'old_value', 'new_value') }}

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
        prices.old_number as old_price,
        prices.new_number as new_price,
        prices.new_number - prices.old_number as difference,
        prices.relative_change,
        case when prices.new_number > prices.old_number then 'up' else 'down' end as direction,
        prices.observed_at,
        prices.observed_on
    from prices
    left join items on prices.item_id = items.item_id

)

select * from final
