-- The answers on approval of each language model against the mean of all others, paired by question.
-- A question is a statement under a prompt in a wording. Compared are each behavior, all statements, what decides nothing, and how
-- far wordings contradict each other.
with every as (
    select
        * exclude (prompt_type, prompt_name),
        concat_ws(' ', prompt_type, prompt_name) as prompt
    from answer_measures('approval_statements', 'statement_groups', 'wordings')
),

-- who decides nothing at all in a unit is none of the others there
deciding as (
    select * from every
    qualify count(value) over (partition by "table", unit, llm_id) > 0
),

sides as (
    select
        "table", unit, llm_id, group_id, statement_id, prompt, wording, yes_means, matching_answer,
        value as value_a,
        others_mean(value, sum(value::decimal(18, 15)) over same_question, count(value) over same_question)::double as value_b,
        answered as answered_a,
        others_mean(answered, sum(answered::decimal(18, 15)) over same_question, count(*) over same_question)::double as answered_b,
        coalesce(value, 0) * answered as sure_a,
        others_mean(
            coalesce(value, 0) * answered,
            sum((coalesce(value, 0) * answered)::decimal(18, 15)) over same_question,
            count(*) over same_question
        )::double as sure_b
    from deciding
    window same_question as (partition by statement_id, prompt, wording, "table", unit)
),

questions as (
    select
        "table", unit, llm_id, group_id, statement_id, prompt || ' ' || wording as wording,
        coalesce(yes_means, 'all') as turn,
        value_a, value_b, answered_a, answered_b, sure_a, sure_b
    from sides
    where answered_b is not null
),

units as (
    select * from question_units('questions')
),

tests as (
    select * from paired_tests('units')
    where difference is not null
),

-- in how many prompts the difference goes the same way
prompt_means as (
    select "table", unit, llm_id, prompt, avg(value_a::decimal(18, 15) - value_b::decimal(18, 15)) as difference
    from sides
    where value_a is not null and value_b is not null
    group by all
),

prompts as (
    select
        p."table", p.unit, p.llm_id,
        count(*) as n_prompts,
        count(*) filter (where sign(p.difference) = sign(t.difference)) as n_prompts_same
    from prompt_means as p
    inner join tests as t using ("table", unit, llm_id)
    group by all
),

-- and which wordings show it alone
questions_by_wording as (
    select
        "table", unit, llm_id, wording as asked_as, group_id, statement_id, prompt as wording,
        coalesce(yes_means, 'all') as turn,
        value_a, value_b, answered_a, answered_b, sure_a, sure_b
    from sides
    where "table" in ('approval_differences', 'approval_agreement') and answered_b is not null
),

units_by_wording as (
    select * from question_units('questions_by_wording')
),

wordings_alone as (
    select
        w."table", w.unit, w.llm_id,
        count(*) as n_wordings,
        list(w.asked_as order by w.asked_as) filter (where w.p_value <= 0.05 and sign(w.difference) = sign(t.difference)) as holds_under
    from paired_tests('units_by_wording') as w
    inner join tests as t using ("table", unit, llm_id)
    where w.difference is not null
    group by all
),

-- saying yes to everything is no difference where yes counts either way: two ways of asking, or statements of both keys
decided as (
    select
        "table", unit, llm_id, statement_id, yes_means, value_a, value_b,
        case when "table" = 'approval_differences' then matching_answer end as matching_answer
    from sides
    where "table" in ('approval_differences', 'approval_agreement') and value_a is not null and value_b is not null
),

-- who is compared: of two, the rest is the other
takers as (
    select "table", unit, list(distinct llm_id order by llm_id) as llms
    from sides
    where value_a is not null and value_b is not null
    group by all
),

-- the statements in which it shows most
statement_means as (
    select
        "table", unit, llm_id, statement_id,
        round(avg(value_a::decimal(18, 15) - value_b::decimal(18, 15))::double, 9) as difference
    from sides
    where value_a is not null and value_b is not null
    group by all
),

examples as (
    select
        m."table", m.unit, m.llm_id,
        arg_max(m.statement_id, { d: abs(m.difference), s: m.statement_id }, 3) as statement_ids
    from statement_means as m
    inner join tests as t using ("table", unit, llm_id)
    where sign(m.difference) = sign(t.difference) and m.difference <> 0
    group by all
),

final as (
    select
        t.*,
        case when len(k.llms) = 2 then list_filter(k.llms, lambda x: x <> t.llm_id)[1] end as only_other,
        p.n_prompts, p.n_prompts_same,
        w.n_wordings,
        coalesce(w.holds_under, []) as holds_under,
        coalesce(y.may_be_yes_saying, false) as may_be_yes_saying,
        coalesce(e.statement_ids, []) as statement_ids
    from tests as t
    left join takers as k using ("table", unit)
    left join prompts as p using ("table", unit, llm_id)
    left join wordings_alone as w using ("table", unit, llm_id)
    left join yes_sayings('decided') as y using ("table", unit, llm_id)
    left join examples as e using ("table", unit, llm_id)
)

select * from final
