with source as (

    select * from {{ source('meter', 'item_versions') }}

),

renamed as (

    select
        {{ key_of(['strategy', 'target', 'parameters', 'item_key']) }} as item_id,
        strategy,
        target,
        url,
        parameters,
        item_key,
        version,
        valid_from,
        valid_to,
        is_current,
        is_latest,
        first_job_id,
        last_job_id,
        first_seen_at,
        field_changes,
        label,
        item_hash,
        item
    from source

)

select * from renamed
