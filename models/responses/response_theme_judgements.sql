-- Whether a judge, who sees the theme alone, tells unseen members of each cluster of responses from others.
with themes as (
    select a.clustering, a.cluster_id, coalesce(a.theme, r.theme) as theme
    from response_theme_answers as a
    left join response_theme_retries as r using (clustering, cluster_id, kind)
    where a.kind = 'interaction' and getvariable('judge_llm')::varchar in (select llm_id from llms)
),

questions as (
    select
        t.clustering, t.cluster_id, m.statement_id, m.llm_id, m.sample, t.theme,
        m.role = 'unseen' as is_member,
        'Statement: ' || m.statement || ' Response: ' || m.response as text,
        judge_prompt(t.theme, 'Statement: ' || m.statement || ' Response: ' || m.response) as prompt
    from themes as t
    inner join response_theme_members as m using (clustering, cluster_id)
    where t.theme is not null and m.role in ('unseen', 'foreign')
),

answered as (
    select
        *,
        llm(
            prompt, getvariable('judge_llm')::varchar, temperature := 0.0, logprobs := true,
            truth := { task: 'judge', theme: theme, text: text }
        ) as answer
    from questions
)

select
    clustering, cluster_id, statement_id, llm_id, sample, theme, is_member, prompt,
    answer.text as answer,
    answer.error as error,
    coalesce(
        p_approve(answer.detail),
        case decision(answer.text) when 'approved' then 1.0 when 'disapproved' then 0.0 end
    ) as score
from answered
