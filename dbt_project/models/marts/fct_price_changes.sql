{{ config(materialized='view') }}

with changes as (

    select
        *,
        {{ key_of(['strategy', 'target', 'parameters', 'item_key']) }} as item_id
    from {{ ref('int_price_changes') }}

),

items as (

    select * from {{ ref('dim_items') }}

),

-- Few changes need the item's own text, which is long.
currencies as (

    select
        item_id,
        {{ currency_of_item('item') }} as currency
    from items
    where
        item_id in (
            select changes.item_id
            from changes
            where changes.currency is null
        )

),

final as (

    select
        changes.change_id,
        changes.item_id,
        changes.strategy,
        changes.job_id,
        changes.url,
        changes.parameters,
        changes.item_key,
        items.label,
        changes.field,
        changes.old_price,
        changes.new_price,
        coalesce(changes.currency, currencies.currency) as currency,
        changes.new_price - changes.old_price as difference,
        changes.new_price / nullif(changes.old_price, 0) - 1 as relative_change,
        case when changes.new_price > changes.old_price then 'up' else 'down' end as direction,
        changes.observed_at,
        changes.observed_on,
        changes.change_month
    from changes
    left join items on changes.item_id = items.item_id
    left join currencies on changes.item_id = currencies.item_id

)

select * from final
