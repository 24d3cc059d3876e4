-- The answers of each language model under each prompt against the mean of the other prompts of its type, paired by question.
with every as (
    select * from answer_measures('approval_statements', 'statement_groups', 'wordings')
),

-- a prompt under which nothing at all is decided is none of the others
deciding as (
    select * from every
    qualify count(value) over (partition by "table", unit, prompt_type, prompt_name, llm_id) > 0
),

sides as (
    select
        "table", unit, prompt_type, prompt_name, llm_id, group_id, statement_id, wording, yes_means, matching_answer,
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
    window same_question as (partition by statement_id, llm_id, prompt_type, wording, "table", unit)
),

questions as (
    select
        "table", unit, prompt_type, prompt_name, llm_id, group_id, statement_id, wording,
        coalesce(yes_means, 'all') as turn,
        value_a, value_b, answered_a, answered_b, sure_a, sure_b
    from sides
    where answered_b is not null
),

units as (
    select * from question_units('questions')
),

-- how questions are answered is a family beside what is approved, with a fifth of the false discovery rate
tests as (
    select
        *,
        "table" = 'answered_differences' as family,
        case when "table" = 'answered_differences' then 0.2 else 0.8 end as weight
    from paired_tests('units')
    where difference is not null
),

tested as (
    select * from judged('tests')
),

by_wording as (
    select *, wording as asked_as
    from questions
    where "table" in ('approval_differences', 'approval_agreement')
),

wording_units as (
    select * from question_units('by_wording')
),

wordings_alone as (
    select
        w."table", w.unit, w.prompt_type, w.prompt_name, w.llm_id,
        count(*) as n_wordings,
        list(w.asked_as order by w.asked_as) filter (where w.p_value <= 0.05 and sign(w.difference) = sign(t.difference)) as holds_under
    from paired_tests('wording_units') as w
    inner join tested as t using ("table", unit, prompt_type, prompt_name, llm_id)
    where w.difference is not null
    group by all
),

-- saying yes to everything is no difference where yes counts either way: two ways of asking, or statements of both keys
decided as (
    select
        "table", unit, prompt_type, prompt_name, llm_id, statement_id, yes_means, value_a, value_b,
        case when "table" = 'approval_differences' then matching_answer end as matching_answer
    from sides
    where "table" in ('approval_differences', 'approval_agreement') and value_a is not null and value_b is not null
),

read_statements as (
    select
        "table", unit, prompt_type, prompt_name, llm_id, statement_id,
        round(avg(value_a::decimal(18, 15) - value_b::decimal(18, 15))::double, 9) as difference
    from questions
    where value_a is not null and value_b is not null
    group by all
),

-- the statements in which it shows most
examples as (
    select
        m."table", m.unit, m.prompt_type, m.prompt_name, m.llm_id,
        arg_max(m.statement_id, { d: abs(m.difference), s: m.statement_id }, 3) as statement_ids
    from read_statements as m
    inner join tested as t using ("table", unit, prompt_type, prompt_name, llm_id)
    where sign(m.difference) = sign(t.difference) and m.difference <> 0
    group by all
),

final as (
    select
        t."table", t.unit, t.prompt_type, t.prompt_name, t.llm_id,
        t.n, t.n_statements, t.n_groups,
        t.value_a as value,
        t.value_b as others,
        t.difference, t.ci_low, t.ci_high, t.p_value, t.q_value, t.significant, t.verdict, t.difference_shrunk, t.standard_error,
        t.answered_a as answered,
        t.answered_b as answered_others,
        t.bound_low, t.bound_high, t.answers_missing,
        w.n_wordings,
        coalesce(w.holds_under, []) as holds_under,
        coalesce(y.may_be_yes_saying, false) as may_be_yes_saying,
        coalesce(e.statement_ids, []) as statement_ids
    from tested as t
    left join wordings_alone as w using ("table", unit, prompt_type, prompt_name, llm_id)
    left join yes_sayings('decided') as y using ("table", unit, prompt_type, prompt_name, llm_id)
    left join examples as e using ("table", unit, prompt_type, prompt_name, llm_id)
)

select * from final
