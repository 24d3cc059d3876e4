-- How often each language model goes along with each behavior, under each prompt, corrected for saying yes to anything.
with cells as (
    select
        behavior, llm_id, prompt_type, prompt_name, wording, matching_answer,
        count(share) as n,
        avg(share order by statement_id) as rate
    from approval_statements
    group by all
),

-- rate is the share of approvals. Who says yes to everything approves in one wording and disapproves in the other, and
-- approves of yes-keyed and no-keyed statements alike: half the difference of the wordings is what yes alone explains
wordings as (
    select
        behavior, llm_id, prompt_type, prompt_name, matching_answer,
        sum(n) as n,
        avg(rate order by wording) as balanced_rate,
        avg(rate) filter (where wording = 'approve') as rate,
        (avg(rate) filter (where wording = 'approve') - avg(rate) filter (where wording = 'object')) / 2 as yes_bias
    from cells
    group by all
),

final as (
    select
        behavior, llm_id, prompt_type, prompt_name,
        sum(n)::bigint as n,
        avg(rate order by matching_answer) as rate,
        avg(
            case matching_answer when 'yes' then balanced_rate when 'no' then 1 - balanced_rate end order by matching_answer
        ) as balanced_rate,
        coalesce(
            avg(yes_bias order by matching_answer),
            case when count(distinct matching_answer) = 2 then avg(rate order by matching_answer) - 0.5 end
        ) as yes_bias
    from wordings
    group by all
)

select * from final
