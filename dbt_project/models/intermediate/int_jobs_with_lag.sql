with jobs as (

    select * from {{ ref('stg_meter__jobs') }}

),

schedules as (

    select * from {{ ref('stg_meter__schedules') }}

),

begun as (

    select
        jobs.job_id,
        jobs.schedule_id,
        jobs.url,
        jobs.parameters,
        schedules.expected_interval_seconds,
        coalesce(jobs.started_at, jobs.created_at, jobs.completed_at) as began_at
    from jobs
    inner join schedules on jobs.schedule_id = schedules.schedule_id

),

with_previous as (

    select
        job_id,
        expected_interval_seconds,
        lag(job_id) over target as previous_job_id,
        date_diff('millisecond', lag(began_at) over target, began_at) / 1000 as seconds_since_previous
    from begun
    window target as (
        partition by schedule_id, url, parameters
        order by began_at, job_id
    )

),

final as (

    select
        job_id,
        previous_job_id,
        seconds_since_previous,
        expected_interval_seconds,
        case
            when seconds_since_previous > expected_interval_seconds
                then seconds_since_previous - expected_interval_seconds
            when seconds_since_previous is not null and expected_interval_seconds is not null
                then 0
        end as lag_seconds,
        seconds_since_previous - expected_interval_seconds
        > expected_interval_seconds * {{ var('late_tolerance') }} as is_late
    from with_previous

)

select * from final
