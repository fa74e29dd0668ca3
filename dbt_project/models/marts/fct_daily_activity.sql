with jobs as (

    select * from {{ ref('int_jobs_by_day') }}

),

changes as (

    select * from {{ ref('int_changes_by_day') }}

),

final as (

    select
        {{ key_of(['coalesce(jobs.strategy, changes.strategy)', 'cast(coalesce(jobs.day, changes.day) as varchar)']) }}
            as activity_id,
        coalesce(jobs.strategy, changes.strategy) as strategy,
        coalesce(jobs.day, changes.day) as day,
        coalesce(jobs.jobs, 0) as jobs,
        coalesce(jobs.accepted_jobs, 0) as accepted_jobs,
        coalesce(jobs.held_jobs, 0) as held_jobs,
        coalesce(jobs.failed_jobs, 0) as failed_jobs,
        coalesce(jobs.unreadable_jobs, 0) as unreadable_jobs,
        coalesce(jobs.items, 0) as items,
        coalesce(changes.items_added, 0) as items_added,
        coalesce(changes.items_removed, 0) as items_removed,
        coalesce(changes.items_changed, 0) as items_changed,
        coalesce(changes.fields_changed, 0) as fields_changed
    from jobs
    full outer join changes
        on
            jobs.strategy = changes.strategy
            and jobs.day = changes.day

)

select * from final
