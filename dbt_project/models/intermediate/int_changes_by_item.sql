with changes as (

    select * from {{ ref('fct_item_changes') }}

),

final as (

    select
        {{ key_of(['strategy', 'url', 'parameters', 'item_key']) }} as item_id,
        count(*) as changes
    from changes
    where kind = 'changed'
    group by all

)

select * from final
