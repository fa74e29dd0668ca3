with source as (

    select * from {{ source('meter', 'strategies') }}

),

renamed as (

    select
        strategy_id,
        slug as strategy,
        name,
        url,
        description,
        scraper_type,
        created_at,
        updated_at,
        first_seen_at,
        deleted_at,
        identity
    from source

)

select * from renamed
