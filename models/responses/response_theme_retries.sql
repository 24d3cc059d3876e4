-- Once more, for each cluster of responses whose first answer was empty or no theme.
with answered as (
    select
        clustering, cluster_id, kind, texts,
        llm(
            prompt, getvariable('themes_llm')::varchar, system := getvariable('theme_system_message'), sample := 1,
            temperature := getvariable('theme_temperature'), max_tokens := getvariable('theme_max_tokens'),
            truth := { task: 'themes', texts: texts, others: others }
        ) as answer
    from response_theme_answers
    where theme is null
)

select
    clustering, cluster_id, kind,
    answer.text as answer,
    answer.error as error,
    theme_of(answer.text, texts := texts, finish_reason := answer.finish_reason) as theme
from answered
