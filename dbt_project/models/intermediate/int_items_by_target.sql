with versions as (

    select * from {{ ref('stg_meter__item_versions') }}

),

jobs as (

    select * from {{ ref('stg_meter__jobs') }}

),

rolled_up as (

    select
        item_id,
        any_value(strategy) as strategy,
        any_value(url) as url,
        any_value(parameters) as parameters,
        any_value(item_key) as item_key,
        arg_max(item, version) as item,
        arg_max(item_hash, version) as item_hash,
        arg_max(last_job_id, version) as last_job_id,
        arg_max(valid_from, version) as last_changed_at,
        min(valid_from) as first_seen_at,
        case when not bool_or(is_current) then max(valid_to) end as removed_at,
        bool_or(is_current) as is_listed,
        count(*) as versions,
        max(version) as latest_version
    from versions
    group by item_id

),

final as (

    select
        rolled_up.*,
        coalesce(jobs.observed_at, rolled_up.last_changed_at) as last_seen_at
    from rolled_up
    left join jobs on rolled_up.last_job_id = jobs.job_id

)

select * from final
