-- What the language model for themes calls each cluster of statements, asked with its members and with its neighbor's.
with members as (
    select clustering, cluster_id, 'statement' as kind, role, position, statement as text
    from statement_theme_members
    where getvariable('themes_llm')::varchar in (select llm_id from llms)
),

answered as (
    select
        *,
        llm(
            prompt, getvariable('themes_llm')::varchar, system := getvariable('theme_system_message'), sample := 0,
            temperature := getvariable('theme_temperature'), max_tokens := getvariable('theme_max_tokens'),
            truth := { task: 'themes', texts: texts, others: others }
        ) as answer
    from theme_questions('members')
)

select
    clustering, cluster_id, kind, texts, others, prompt,
    answer.text as answer,
    answer.error as error,
    answer.cost_usd as cost_usd,
    theme_of(answer.text, texts := texts, finish_reason := answer.finish_reason) as theme
from answered
