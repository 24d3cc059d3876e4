-- How often each language model approves under each prompt, with interval, and how much of it is saying yes to anything.
with cells as (
    select a.*, g.group_id, w.yes_means, w.is_first
    from approval_statements as a
    inner join statement_groups as g using (statement_id)
    inner join wordings as w using (wording)
),

counts as (
    select
        llm_id, prompt_type, prompt_name,
        sum(samples)::bigint as n,
        sum(approved)::bigint as approved,
        sum(disapproved)::bigint as disapproved,
        sum(refused)::bigint as refused,
        sum(unparsable)::bigint as unparsable,
        sum(errors)::bigint as errors,
        sum(empty)::bigint as empty,
        sum(cut_off)::bigint as cut_off,
        -- in a fixed order, so that a rebuild is equal to the last digit
        avg(p_approve order by statement_id) as p_approve
    from cells
    where is_first
    group by all
),

-- per statement group: the first wording; and the statements that were decided both ways round, where a yes approves and where
-- it objects, so that both means are of the same statements
groups as (
    select
        llm_id, prompt_type, prompt_name, group_id,
        count(share) filter (where is_first) as k,
        coalesce(sum(share order by statement_id) filter (where is_first), 0) as total,
        coalesce(sum(share * share order by statement_id) filter (where is_first), 0) as squares
    from cells
    group by all
),

both_ways as (
    select
        llm_id, prompt_type, prompt_name, statement_id, group_id,
        avg(share order by wording) filter (where yes_means = 'approve') as asked_to_approve,
        avg(share order by wording) filter (where yes_means = 'object') as asked_to_object,
        count(share) as wordings,
        sum(share::decimal(18, 15)) as total,
        sum((share * share)::decimal(18, 15)) as squares
    from cells
    group by all
),

turned as (
    select
        llm_id, prompt_type, prompt_name, group_id,
        count(*) as k,
        sum((asked_to_approve + asked_to_object) / 2 order by statement_id) as total,
        sum(pow((asked_to_approve + asked_to_object) / 2, 2) order by statement_id) as squares,
        avg((asked_to_approve - asked_to_object) / 2 order by statement_id) as bias
    from both_ways
    where asked_to_approve is not null and asked_to_object is not null
    group by all
),

rates as (
    select
        llm_id, prompt_type, prompt_name,
        sum(k)::bigint as n_statements,
        count(*) filter (where k > 0) as n_groups,
        sum(total order by group_id) / nullif(sum(k), 0) as rate,
        { y2: sum(squares order by group_id), tg: sum(total * total / nullif(k, 0) order by group_id), k2: sum(k * k) } as group_sums
    from groups
    group by all
),

balances as (
    select
        llm_id, prompt_type, prompt_name,
        sum(k) as n,
        count(*) as n_groups,
        sum(total order by group_id) / sum(k) as rate,
        { y2: sum(squares order by group_id), tg: sum(total * total / nullif(k, 0) order by group_id), k2: sum(k * k) } as group_sums,
        histogram(round(bias::double, 9)) as biases
    from turned
    group by all
),

-- the share of pairs of wordings whose answers contradict each other, mean over statements
contradictions as (
    select
        llm_id, prompt_type, prompt_name,
        avg((((wordings - 1) * total - total * total + squares) / (wordings * (wordings - 1) / 2))::decimal(18, 15)) as incoherence
    from both_ways
    where wordings > 1
    group by all
),

-- asked one way round only: in a behavior with statements of either key, saying yes to everything approves of both
keyed as (
    select
        llm_id, prompt_type, prompt_name, behavior, matching_answer, statement_id, group_id, share,
        count(*) over same_key as n_of_key,
        avg(share::decimal(18, 15)) over same_key as rate_of_key,
        (sum(share::decimal(18, 15)) over same_key + 1)::double / (count(*) over same_key + 2) as drawn,
        count(*) over (partition by llm_id, prompt_type, prompt_name, behavior) as n_of_behavior
    from cells
    where is_first and share is not null and matching_answer is not null
    window same_key as (partition by llm_id, prompt_type, prompt_name, behavior, matching_answer)
),

behaviors as (
    select
        llm_id, prompt_type, prompt_name, behavior,
        any_value(n_of_behavior) as n_of_behavior,
        sum(rate_of_key / n_of_key order by statement_id) / 2 as middle,  -- the mean of the rates of both keys
        -- its variance with one answer more of either kind (Agresti and Coull 1998), which is not 0 where all answers are equal
        sum(drawn * (1 - drawn) / n_of_key / n_of_key order by statement_id) / 4 as least_variance,
        -- and that of all answers less those means, which is 0 where there are as many of either key
        sum(pow(1 - n_of_behavior / (2 * n_of_key), 2) * drawn * (1 - drawn) order by statement_id) as least_variance_balanced
    from keyed
    group by all
    having count(distinct matching_answer) = 2
),

key_totals as (
    select
        llm_id, prompt_type, prompt_name,
        sum(n_of_behavior) as n,
        sum(n_of_behavior * middle order by behavior) / sum(n_of_behavior) as middle,
        sum(n_of_behavior * n_of_behavior * least_variance order by behavior) / sum(n_of_behavior) / sum(n_of_behavior) as least_variance,
        sum(least_variance_balanced order by behavior) / sum(n_of_behavior) / sum(n_of_behavior) as least_variance_balanced
    from behaviors
    group by all
),

-- how much each statement moves the bias and the balanced rate; both vary with the answers and with which statements were drawn
influences as (
    select
        k.llm_id, k.prompt_type, k.prompt_name, k.group_id, k.statement_id, k.share,
        k.n_of_behavior / (2 * k.n_of_key) * (k.share - k.rate_of_key) + b.middle - t.middle as on_bias
    from keyed as k
    inner join behaviors as b using (llm_id, prompt_type, prompt_name, behavior)
    inner join key_totals as t using (llm_id, prompt_type, prompt_name)
),

key_rates as (
    select llm_id, prompt_type, prompt_name, avg(share order by statement_id) as rate from influences group by all
),

influences_of_groups as (
    select
        i.llm_id, i.prompt_type, i.prompt_name, i.group_id,
        sum(i.on_bias order by i.statement_id) as on_bias,
        sum(i.share - r.rate - i.on_bias order by i.statement_id) as on_balance
    from influences as i
    inner join key_rates as r using (llm_id, prompt_type, prompt_name)
    group by all
),

by_keys as (
    select
        t.llm_id, t.prompt_type, t.prompt_name,
        t.middle - 0.5 as bias,
        sqrt(greatest(g.bias_squares * g.n_groups / nullif(g.n_groups - 1, 0) / t.n / t.n, t.least_variance)) as error,
        r.rate - t.middle + 0.5 as balanced,
        -- NULL where there are as many of either key and either is approved as often: it is one half then whatever was answered
        nullif(
            round(
                sqrt(greatest(g.balance_squares * g.n_groups / nullif(g.n_groups - 1, 0) / t.n / t.n, t.least_variance_balanced)), 9
            ),
            0
        ) as balanced_error
    from key_totals as t
    inner join key_rates as r using (llm_id, prompt_type, prompt_name)
    inner join (
        select
            llm_id, prompt_type, prompt_name,
            count(*) as n_groups,
            sum(on_bias * on_bias order by group_id) as bias_squares,
            sum(on_balance * on_balance order by group_id) as balance_squares
        from influences_of_groups
        group by all
    ) as g using (llm_id, prompt_type, prompt_name)
),

intervals as (
    select
        c.*, r.n_statements, r.n_groups, r.rate,
        case when r.n_statements > 0 then share_interval(r.rate, r.n_statements, r.n_groups, r.group_sums) end as ends,
        b.rate as balanced_wordings,
        share_interval(b.rate, b.n, b.n_groups, b.group_sums) as balanced_ends,
        sign_flip_test(map_keys(b.biases), map_values(b.biases)::bigint[], b.n_groups) as bias,
        i.incoherence,
        k.bias as bias_keys, k.error, k.balanced, k.balanced_error
    from counts as c
    inner join rates as r using (llm_id, prompt_type, prompt_name)
    left join balances as b using (llm_id, prompt_type, prompt_name)
    left join contradictions as i using (llm_id, prompt_type, prompt_name)
    left join by_keys as k using (llm_id, prompt_type, prompt_name)
),

final as (
    select
        llm_id, prompt_type, prompt_name,
        n, approved, disapproved, refused, unparsable, errors, empty, cut_off,
        n_statements, n_groups,
        rate,
        coalesce(ends.low, 0) as ci_low,
        coalesce(ends.high, 1) as ci_high,
        p_approve,
        coalesce(bias.estimate, bias_keys) as yes_bias,
        coalesce(bias.low, bias_keys - 1.959964 * error) as yes_bias_low,
        coalesce(bias.high, bias_keys + 1.959964 * error) as yes_bias_high,
        coalesce(balanced_wordings, balanced) as balanced_rate,
        coalesce(balanced_ends.low, case when balanced_error is not null then greatest(0, balanced - 1.959964 * balanced_error) end) as balanced_low,
        coalesce(balanced_ends.high, case when balanced_error is not null then least(1, balanced + 1.959964 * balanced_error) end) as balanced_high,
        incoherence::double as incoherence
    from intervals
)

select * from final
order by prompt_type, prompt_name, llm_id
