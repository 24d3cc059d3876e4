-- In which behaviors two prompts, or two language models, part: paired decisions that show the behavior.
with asked as (
    -- both wordings together: where one was refused the other decides, where they contradict each other nothing does
    -- (a sum of two is the same in any order, so none is asked for)
    select statement_id, behavior, matching_answer, llm_id, prompt_type, prompt_name, avg(share) as share
    from approval_statements
    group by all
),

decided as (
    -- whether the decision shows the behavior: to a no-keyed statement that is a disapproval. Saying yes to everything
    -- shows a behavior in one half of its statements only, so it makes no difference here
    select
        statement_id, behavior, llm_id, prompt_type, prompt_name,
        (share > 0.5) = (coalesce(matching_answer, 'yes') = 'yes') as shows
    from asked
    where share <> 0.5
),

counts as (
    select
        a.behavior, a.prompt_type,
        a.llm_id as llm_a,
        a.prompt_name as prompt_a,
        b.llm_id as llm_b,
        b.prompt_name as prompt_b,
        count(*) as n,
        count(*) filter (where a.shows) as shows_a,
        count(*) filter (where b.shows) as shows_b,
        count(*) filter (where a.shows and not b.shows) as only_a,
        count(*) filter (where b.shows and not a.shows) as only_b
    from decided as a
    inner join decided as b using (statement_id, prompt_type)
    where
        (a.llm_id = b.llm_id and a.prompt_name < b.prompt_name)
        or (a.prompt_name = b.prompt_name and a.llm_id < b.llm_id)
    group by all
),

tested as (
    select
        behavior, prompt_type, llm_a, prompt_a, llm_b, prompt_b, n,
        shows_a / n as rate_a,
        shows_b / n as rate_b,
        (only_a - only_b) / n as difference,
        paired_difference(only_a, only_b, n).low as ci_low,
        paired_difference(only_a, only_b, n).high as ci_high,
        mcnemar_midp(only_a, only_b) as p_value
    from counts
),

corrected as (
    select
        unnest(list(t order by behavior, prompt_type, llm_a, prompt_a, llm_b, prompt_b)) as t,
        unnest(adjust_p(list(p_value order by behavior, prompt_type, llm_a, prompt_a, llm_b, prompt_b))) as q_value
    from tested as t
)

select t.*, q_value, q_value <= getvariable('fdr') as significant
from corrected
