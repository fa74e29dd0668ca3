with source as (

    select * from {{ source('meter', 'schedule_changes') }}

),

renamed as (

    select
        schedule_id,
        strategy,
        job_id,
        item_count,
        first_seen_at,
        acknowledged_at
    from source

)

select * from renamed
