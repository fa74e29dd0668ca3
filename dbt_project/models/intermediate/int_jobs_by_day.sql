with jobs as (

    select * from {{ ref('stg_meter__jobs') }}

),

final as (

    select
        strategy,
        {{ utc_day('observed_at') }} as day,
        count(*) as jobs,
        count(*) filter (where state = 'accepted') as accepted_jobs,
        count(*) filter (where state = 'held') as held_jobs,
        count(*) filter (where state = 'failed') as failed_jobs,
        count(*) filter (where state = 'unreadable') as unreadable_jobs,
        coalesce(cast(sum(item_count) filter (where state = 'accepted') as bigint), 0) as items
    from jobs
    where
        observed_at is not null
        and strategy is not null
    group by all

)

select * from final
