with source as (

    select * from {{ source('meter', 'jobs') }}

),

renamed as (

    select
        job_id,
        strategy,
        strategy_id,
        schedule_id,
        batch_id,
        url,
        parameters,
        status,
        state,
        reason,
        error,
        items as item_count,
        item_count as api_item_count,
        bytes,
        content_hash,
        structural_signature,
        created_at,
        started_at,
        completed_at,
        coalesce(completed_at, started_at, created_at) as observed_at,
        known_at,
        loaded_at,
        attempts,
        retry_at,
        duplicates as duplicate_keys,
        rejected as rejected_count,
        released_at,
        held_at,
        case
            when state not in ('accepted', 'held') then null
            when state = 'held' then 'held'
            when audit = 'held' then 'released'
            when starts_with(audit, 'learning') then 'learning'
            else audit
        end as verdict
    from source

)

select * from renamed
