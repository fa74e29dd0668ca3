with source as (

    select * from {{ source('meter', 'schedules') }}

),

renamed as (

    select
        schedule_id,
        strategy,
        strategy_id,
        url,
        urls,
        schedule_type,
        interval_seconds,
        cron_expression,
        expected_interval_seconds,
        enabled as is_enabled,
        webhook_url,
        next_run_at,
        last_run_at,
        created_at,
        updated_at,
        first_seen_at,
        deleted_at
    from source

)

select * from renamed
