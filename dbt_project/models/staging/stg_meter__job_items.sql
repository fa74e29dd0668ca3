with source as (

    select * from {{ source('meter', 'items') }}

),

renamed as (

    select
        strategy,
        job_id,
        schedule_id,
        url,
        item_index,
        item,
        completed_at as observed_at
    from source

)

select * from renamed
