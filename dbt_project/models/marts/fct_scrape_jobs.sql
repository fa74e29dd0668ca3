with jobs as (

    select * from {{ ref('stg_meter__jobs') }}

),

lags as (

    select * from {{ ref('int_jobs_with_lag') }}

),

findings as (

    select
        job_id,
        count(*) as finding_count,
        min_by(message, position) as first_finding
    from {{ ref('stg_meter__findings') }}
    group by job_id

),

final as (

    select
        jobs.job_id,
        jobs.strategy,
        jobs.schedule_id,
        jobs.batch_id,
        jobs.url,
        jobs.parameters,
        case
            when jobs.state = 'known' then 'pending'
            else jobs.state
        end as outcome,
        coalesce(jobs.reason, jobs.error) as reason,
        jobs.verdict,
        coalesce(findings.finding_count, 0) as finding_count,
        findings.first_finding,
        jobs.item_count,
        jobs.api_item_count,
        jobs.bytes,
        jobs.created_at,
        jobs.started_at,
        jobs.completed_at,
        jobs.observed_at,
        date_diff('millisecond', jobs.started_at, jobs.completed_at) / 1000 as duration_seconds,
        lags.previous_job_id,
        lags.seconds_since_previous,
        lags.expected_interval_seconds,
        lags.lag_seconds,
        lags.is_late
    from jobs
    left join lags on jobs.job_id = lags.job_id
    left join findings on jobs.job_id = findings.job_id

)

select * from final
