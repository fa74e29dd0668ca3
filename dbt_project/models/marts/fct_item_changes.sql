{{ config(materialized='view') }}

with changes as (

    select * from {{ ref('stg_meter__item_changes') }}

),

final as (

    select
        change_id,
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
        {{ utc_day('observed_at') }} as observed_on,
        change_month
    from changes

)

select * from final
