with strategies as (

    select * from {{ ref('stg_meter__strategies') }}

),

jobs as (

    select
        strategy,
        count(*) as jobs,
        count(*) filter (where state = 'accepted') as accepted_jobs,
        count(*) filter (where state = 'held') as held_jobs,
        count(*) filter (where state = 'failed') as failed_jobs,
        count(*) filter (where state = 'unreadable') as unreadable_jobs,
        min(observed_at) as first_job_at,
        max(observed_at) as last_job_at
    from {{ ref('stg_meter__jobs') }}
    group by strategy

),

schedules as (

    select
        strategy,
        count(*) as schedules
    from {{ ref('stg_meter__schedules') }}
    where deleted_at is null
    group by strategy

),

items as (

    select
        strategy,
        count(*) as items_ever,
        count(*) filter (where is_listed) as items_listed
    from {{ ref('dim_items') }}
    group by strategy

),

final as (

    select
        strategies.strategy,
        strategies.strategy_id,
        strategies.name,
        strategies.url,
        strategies.description,
        strategies.scraper_type,
        strategies.first_seen_at,
        strategies.deleted_at,
        jobs.first_job_at,
        jobs.last_job_at,
        coalesce(jobs.jobs, 0) as jobs,
        coalesce(jobs.accepted_jobs, 0) as accepted_jobs,
        coalesce(jobs.held_jobs, 0) as held_jobs,
        coalesce(jobs.failed_jobs, 0) as failed_jobs,
        coalesce(jobs.unreadable_jobs, 0) as unreadable_jobs,
        coalesce(schedules.schedules, 0) as schedules,
        coalesce(items.items_ever, 0) as items_ever,
        coalesce(items.items_listed, 0) as items_listed
    from strategies
    left join jobs on strategies.strategy = jobs.strategy
    left join schedules on strategies.strategy = schedules.strategy
    left join items on strategies.strategy = items.strategy

)

select * from final
