-- How often each language model approves under each prompt, with interval, and how much of it is saying yes to anything.
with counts as (
    select
        llm_id, prompt_type, prompt_name,
        sum(samples)::bigint as n,
        sum(approved)::bigint as approved,
        sum(disapproved)::bigint as disapproved,
        sum(refused)::bigint as refused,
        sum(unparsable)::bigint as unparsable,
        sum(errors)::bigint as errors,
        count(share) as n_statements,
        -- in a fixed order, so that a rebuild is equal to the last digit
        avg(share order by statement_id) as rate,
        var_samp(share order by statement_id) as variance,
        avg(p_approve order by statement_id) as p_approve
    from approval_statements
    where wording = 'approve'
    group by all
),

-- an interval for the mean of the statements' shares: Wilson's, with the number of statements that a yes or no per
-- statement would need for the same spread (it is the number of statements where each was asked once)
intervals as (
    select
        *,
        case
            when variance > 0 and rate between 0.000001 and 0.999999
                then greatest(n_statements, rate * (1 - rate) / variance * (n_statements - 1))
            else n_statements
        end as n_effective
    from counts
),

-- the same approvals seen through both wordings and both keys
balanced as (
    select
        llm_id, prompt_type, prompt_name,
        (avg(share) filter (where wording = 'approve') + avg(share) filter (where wording = 'object')) / 2 as balanced_wordings,
        (avg(share) filter (where wording = 'approve') - avg(share) filter (where wording = 'object')) / 2 as bias_wordings,
        (
            avg(share) filter (where wording = 'approve' and matching_answer = 'yes')
            + avg(share) filter (where wording = 'approve' and matching_answer = 'no')
        ) / 2 - 0.5 as bias_keys
    -- as exact decimals, whose sum is the same in any order
    from (select * replace (share::decimal(18, 15) as share) from approval_statements) as exact
    group by all
),

final as (
    select
        i.llm_id, i.prompt_type, i.prompt_name,
        i.n, i.approved, i.disapproved, i.refused, i.unparsable, i.errors,
        i.n_statements,
        i.rate,
        wilson(round(i.rate * i.n_effective)::bigint, round(i.n_effective)::bigint).low as ci_low,
        wilson(round(i.rate * i.n_effective)::bigint, round(i.n_effective)::bigint).high as ci_high,
        i.p_approve,
        coalesce(b.bias_wordings, b.bias_keys) as yes_bias,
        coalesce(b.balanced_wordings, least(1, greatest(0, i.rate - b.bias_keys))) as balanced_rate
    from intervals as i
    inner join balanced as b using (llm_id, prompt_type, prompt_name)
)

select * from final
order by prompt_type, prompt_name, llm_id
