-- What each cluster of responses is about: the language model's name where there is one, else its typical words.
with sizes as (
    select clustering, cluster_id, count(*) as n
    from response_clusters
    where cluster_id >= 0
    group by all
),

typical as (
    select
        clustering, cluster_id,
        unnest(['statement', 'response', 'interaction']) as kind,
        unnest([statement_theme, response_theme, interaction_theme]) as keywords
    from response_cluster_keywords
),

named as (
    select * from cluster_names('response_theme_answers', 'response_theme_retries', 'typical')
),

judged as (
    select *, validity_low <= 0.5 as is_unconfirmed from theme_validities('response_theme_judgements')
)

select
    z.clustering,
    z.cluster_id,
    z.n,
    -- one is judged, and one language model gave all three
    coalesce(case when j.is_unconfirmed then null else s.name end, w.statement_theme) as statement_theme,
    coalesce(case when j.is_unconfirmed then null else r.name end, w.response_theme) as response_theme,
    coalesce(case when j.is_unconfirmed then null else i.name end, w.interaction_theme) as interaction_theme,
    case when r.name is null or j.is_unconfirmed then 'keywords' else getvariable('themes_llm')::varchar end as theme_source,
    nullif(concat_ws('; ', 'statement: ' || s.error, 'response: ' || r.error, 'interaction: ' || i.error), '') as theme_error,
    case when j.is_unconfirmed then i.name end as unconfirmed_theme,
    j.theme_validity,
    j.validity_low,
    j.validity_high,
    f.jaccards[z.cluster_id + 1] as stability
from sizes as z
inner join response_cluster_fits as f using (clustering)
left join response_cluster_keywords as w using (clustering, cluster_id)
left join named as s on s.clustering = z.clustering and s.cluster_id = z.cluster_id and s.kind = 'statement'
left join named as r on r.clustering = z.clustering and r.cluster_id = z.cluster_id and r.kind = 'response'
left join named as i on i.clustering = z.clustering and i.cluster_id = z.cluster_id and i.kind = 'interaction'
left join judged as j on j.clustering = z.clustering and j.cluster_id = z.cluster_id
order by z.clustering, z.cluster_id
