-- Which pairs decide alike: two prompts of one language model, or two language models under one prompt.
with decided as (
    select statement_id, llm_id, prompt_type, prompt_name, share > 0.5 as approves
    from approval_statements
    where wording = 'approve' and share is not null and share <> 0.5
),

counts as (
    select
        a.prompt_type,
        a.llm_id as llm_a,
        a.prompt_name as prompt_a,
        b.llm_id as llm_b,
        b.prompt_name as prompt_b,
        count(*) as n,
        count(*) filter (where a.approves and b.approves) as "both",
        count(*) filter (where a.approves and not b.approves) as only_a,
        count(*) filter (where not a.approves and b.approves) as only_b,
        count(*) filter (where not a.approves and not b.approves) as neither
    from decided as a
    inner join decided as b using (statement_id, prompt_type)
    where
        (a.llm_id = b.llm_id and a.prompt_name < b.prompt_name)
        or (a.prompt_name = b.prompt_name and a.llm_id < b.llm_id)
    group by all
),

tested as (
    select
        *,
        ("both" + neither) / n as agreement,
        cohen_kappa("both", only_a, only_b, neither) as kappa,
        phi("both", only_a, only_b, neither) as phi,
        mcnemar_midp(only_a, only_b) as p_value
    from counts
),

corrected as (
    select
        unnest(list(t order by prompt_type, llm_a, prompt_a, llm_b, prompt_b)) as t,
        unnest(adjust_p(list(p_value order by prompt_type, llm_a, prompt_a, llm_b, prompt_b))) as q_value
    from tested as t
)

select t.*, q_value
from corrected
