-- Whether a judge, who sees the theme alone, tells unseen members of each cluster of statements from others.
with themes as (
    select clustering, cluster_id, theme
    from given_themes('statement_theme_answers', 'statement_theme_retries')
    where kind = 'statement' and getvariable('judge_llm')::varchar in (select llm_id from llms)
),

members as (
    select clustering, cluster_id, statement_id, role, statement as text from statement_theme_members
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
    clustering, cluster_id, statement_id, theme, is_member, prompt,
    answer.text as answer,
    answer.error as error,
    judge_score(answer.text, case when answer.reasoning is null then answer.detail end) as score
from answered
