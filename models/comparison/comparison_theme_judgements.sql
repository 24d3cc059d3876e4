-- Whether a judge, who sees the theme alone, tells responses that are tested in each cluster from others that are tested.
with themes as (
    select clustering, cluster_id, theme
    from given_themes('comparison_theme_answers', 'comparison_theme_retries')
    where getvariable('judge_llm')::varchar in (select llm_id from llms)
),

members as (
    select clustering, cluster_id, statement_id, llm_id, sample, role, response as text
    from comparison_theme_members
),

answered as (
    select
        *,
        llm(
            prompt, getvariable('judge_llm')::varchar, temperature := 0.0, logprobs := true,
            max_tokens := getvariable('judge_max_tokens')::int,
            truth := { task: 'judge', theme: theme, text: text }
        ) as answer
    from judge_questions('themes', 'members')
)

select
    clustering, cluster_id, statement_id, llm_id, sample, theme, is_member, prompt,
    answer.text as answer,
    answer.error as error,
    judge_score(answer.text, case when answer.reasoning is null then answer.detail end) as score
from answered
