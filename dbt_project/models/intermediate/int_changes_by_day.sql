{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ forget_changed_partitions('changes', 'change_month') }}"
    )
}}

with changes as (

    select * from {{ ref('fct_item_changes') }}
    {% if is_incremental() %}
        where {{ in_changed_partitions('changes', 'change_month', 'observed_at') }}
    {% endif %}

),

final as (

    select
        strategy,
        change_month,
        observed_on as day,
        count(*) filter (where kind = 'added') as items_added,
        count(*) filter (where kind = 'removed') as items_removed,
        count(distinct row(job_id, item_key)) filter (where kind = 'changed') as items_changed,
        count(*) filter (where kind = 'changed') as fields_changed
    from changes
    group by all

)

select * from final
