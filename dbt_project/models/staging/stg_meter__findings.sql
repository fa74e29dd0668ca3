with source as (

    select * from {{ source('meter', 'findings') }}

),

renamed as (

    select
        job_id,
        strategy,
        position,
        test,
        field,
        low as expected_low,
        high as expected_high,
        seen,
        samples,
        outcome,
        message
    from source

)

select * from renamed
