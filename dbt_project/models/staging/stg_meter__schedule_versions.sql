with source as (

    select * from {{ source('meter', 'schedule_versions') }}

),

renamed as (

    select
        schedule_id,
        version,
        seen_at,
        record
    from source

)

select * from renamed
