with items as (

    select * from {{ ref('int_items_by_target') }}

),

changes as (

    select * from {{ ref('int_changes_by_item') }}

),

final as (

    select
        items.item_id,
        items.strategy,
        items.url,
        items.parameters,
        items.item_key,
        {{ label_of('items.item', 'items.item_key') }} as label,
        items.item,
        items.item_hash,
        items.first_seen_at,
        items.last_seen_at,
        items.last_changed_at,
        items.removed_at,
        items.is_listed,
        date_diff('millisecond', items.first_seen_at, items.removed_at) / 1000 as seconds_listed,
        items.versions,
        items.latest_version,
        coalesce(changes.changes, 0) as changes
    from items
    left join changes on items.item_id = changes.item_id

)

select * from final
