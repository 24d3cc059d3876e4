-- The personas and kinds of awareness under which approval is asked, with the awareness task inserted.
with prompts as (
    select
        prompt_type,
        prompt_name,
        replace(text, '{awareness_task}', getvariable('awareness_task')) as system_message
    from raw_approval_prompts
    where list_contains(getvariable('prompt_types'), prompt_type)
)

select * from prompts
order by prompt_type, prompt_name
