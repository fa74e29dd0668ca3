with changes as (

    select * from {{ ref('fct_item_changes') }}

),

final as (

    select
        strategy,
        observed_on as day,
        count(*) filter (where kind = 'added') as items_added,
        count(*) filter (where kind = 'removed') as items_removed,
        count(distinct row(job_id, item_key)) filter (where kind = 'changed') as items_changed,
        count(*) filter (where kind = 'changed') as fields_changed
    from changes
    group by all

)

select * from final
