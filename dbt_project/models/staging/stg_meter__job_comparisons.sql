with source as (

    select * from {{ source('meter', 'job_comparisons') }}

),

renamed as (

    select
        strategy,
        job_id,
        previous_job_id,
        content_hash_match as is_same_content,
        structural_match as is_same_structure,
        semantic_similarity,
        item_count_difference,
        structural_changes,
        agrees as is_agreed,
        compared_at
    from source

)

select * from renamed
