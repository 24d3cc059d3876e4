-- What each cluster of responses is about: the language model's name where there is one, else its typical words.
with sizes as (
    select clustering, cluster_id, count(*) as n
    from response_clusters
    where cluster_id >= 0
    group by all
),

answers as (
    select
        a.clustering, a.cluster_id, a.kind,
        coalesce(a.theme, r.theme) as theme,
        case when a.theme is null and r.theme is null then coalesce(r.error, a.error, 'no theme in the answer: ' || r.answer) end as error
    from response_theme_answers as a
    left join response_theme_retries as r using (clustering, cluster_id, kind)
),

named as (
    -- equal names of one clustering are told apart by the words of their clusters
    select
        a.clustering, a.cluster_id, a.kind, a.error,
        case
            when count(*) over (partition by a.clustering, a.kind, lower(a.theme)) > 1
                then a.theme || ' (' || case a.kind when 'statement' then w.statement_theme when 'response' then w.response_theme when 'interaction' then w.interaction_theme end || ')'
            else a.theme
        end as name
    from answers as a
    left join response_cluster_keywords as w using (clustering, cluster_id)
),

judged as (
    select
        clustering, cluster_id,
        rank_auc(list(score order by statement_id, llm_id, sample), list(is_member order by statement_id, llm_id, sample)) as validity
    from response_theme_judgements
    where score is not null
    group by all
)

select
    z.clustering,
    z.cluster_id,
    z.n,
    coalesce(s.name, w.statement_theme) as statement_theme,
    coalesce(r.name, w.response_theme) as response_theme,
    coalesce(i.name, w.interaction_theme) as interaction_theme,
    case when r.name is not null then getvariable('themes_llm')::varchar else 'keywords' end as theme_source,
    nullif(concat_ws('; ', 'statement: ' || s.error, 'response: ' || r.error, 'interaction: ' || i.error), '') as theme_error,
    j.validity.auc as theme_validity,
    j.validity.low as validity_low,
    j.validity.high as validity_high,
    f.jaccards[z.cluster_id + 1] as stability
from sizes as z
inner join response_cluster_fits as f using (clustering)
left join response_cluster_keywords as w using (clustering, cluster_id)
left join named as s on s.clustering = z.clustering and s.cluster_id = z.cluster_id and s.kind = 'statement'
left join named as r on r.clustering = z.clustering and r.cluster_id = z.cluster_id and r.kind = 'response'
left join named as i on i.clustering = z.clustering and i.cluster_id = z.cluster_id and i.kind = 'interaction'
left join judged as j on j.clustering = z.clustering and j.cluster_id = z.cluster_id
order by z.clustering, z.cluster_id
