with schedules as (

    select * from {{ ref('stg_meter__schedules') }}

),

jobs as (

    select
        schedule_id,
        count(*) as jobs,
        count(*) filter (where is_late) as late_jobs,
        count(*) filter (where is_late is not null) as timed_jobs,
        avg(lag_seconds) as mean_lag_seconds,
        max(lag_seconds) as longest_lag_seconds,
        max(observed_at) as last_job_at
    from {{ ref('fct_scrape_jobs') }}
    where schedule_id is not null
    group by schedule_id

),

versions as (

    select
        schedule_id,
        count(*) as versions
    from {{ ref('stg_meter__schedule_versions') }}
    group by schedule_id

),

unseen as (

    select
        schedule_id,
        count(*) as unacknowledged_jobs
    from {{ ref('stg_meter__schedule_changes') }}
    where acknowledged_at is null
    group by schedule_id

),

final as (

    select
        schedules.schedule_id,
        schedules.strategy,
        schedules.url,
        schedules.urls,
        schedules.schedule_type,
        schedules.interval_seconds,
        schedules.cron_expression,
        schedules.expected_interval_seconds,
        schedules.is_enabled,
        schedules.next_run_at,
        schedules.first_seen_at,
        schedules.deleted_at,
        jobs.last_job_at,
        coalesce(versions.versions, 0) as versions,
        coalesce(unseen.unacknowledged_jobs, 0) as unacknowledged_jobs,
        coalesce(jobs.jobs, 0) as jobs,
        coalesce(jobs.late_jobs, 0) as late_jobs,
        jobs.late_jobs / nullif(jobs.timed_jobs, 0) as late_share,
        jobs.mean_lag_seconds,
        jobs.longest_lag_seconds
    from schedules
    left join jobs on schedules.schedule_id = jobs.schedule_id
    left join versions on schedules.schedule_id = versions.schedule_id
    left join unseen on schedules.schedule_id = unseen.schedule_id

)

select * from final
