{{ config(materialized='view') }}

with versions as (

    select * from {{ ref('stg_meter__item_versions') }}

),

jobs as (

    select * from {{ ref('stg_meter__jobs') }}

),

final as (

    select
        versions.item_id,
        versions.strategy,
        versions.target,
        versions.url,
        versions.parameters,
        versions.item_key,
        versions.label,
        versions.item,
        versions.item_hash,
        versions.first_seen_at,
        coalesce(jobs.observed_at, versions.valid_from) as last_seen_at,
        versions.valid_from as last_changed_at,
        versions.valid_to as removed_at,
        versions.is_current as is_listed,
        date_diff('millisecond', versions.first_seen_at, versions.valid_to) / 1000 as seconds_listed,
        versions.version as versions,
        versions.version as latest_version,
        versions.field_changes as changes
    from versions
    left join jobs on versions.last_job_id = jobs.job_id
    where versions.is_latest

)

select * from final
