with source as (

    select * from {{ source('meter', 'item_changes') }}

),

renamed as (

    select
        {{ key_of(['job_id', 'item_key', 'field', 'kind']) }} as change_id,
        strategy,
        job_id,
        previous_job_id,
        schedule_id,
        target,
        url,
        parameters,
        item_key,
        kind,
        field,
        old_value,
        new_value,
        old_number,
        new_number,
        old_currency,
        new_currency,
        relative_change,
        observed_at,
        {{ utc_month('observed_at') }} as change_month
    from source

)

select * from renamed
