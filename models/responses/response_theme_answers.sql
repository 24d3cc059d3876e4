-- What the language model for themes calls each cluster of responses, asked with its members and with its neighbor's.
with kinds as (
    select unnest(getvariable('theme_kinds')) as kind
    where getvariable('themes_llm')::varchar in (select llm_id from llms)
),

members as (
    select
        m.clustering, m.cluster_id, k.kind, m.role, m.position,
        case k.kind
            when 'statement' then m.statement
            when 'response' then m.response
            else 'Statement: ' || m.statement || ' Response: ' || m.response
        end as text
    from response_theme_members as m
    cross join kinds as k
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
