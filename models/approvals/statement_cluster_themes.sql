-- What each cluster of statements is about: the language model's name where there is one, else its typical words.
with sizes as (
    select clustering, cluster_id, count(*) as n
    from statement_clusters
    where cluster_id >= 0
    group by all
),

typical as (
    select clustering, cluster_id, 'statement' as kind, statement_theme as keywords from statement_cluster_keywords
),

named as (
    select * from cluster_names('statement_theme_answers', 'statement_theme_retries', 'typical')
),

judged as (
    select *, validity_low <= 0.5 as is_unconfirmed from theme_validities('statement_theme_judgements')
)

select
    z.clustering,
    z.cluster_id,
    z.n,
    coalesce(case when j.is_unconfirmed then null else s.name end, w.keywords) as statement_theme,
    -- the columns of response_cluster_themes; a cluster of statements holds no responses
    null::varchar as response_theme,
    null::varchar as interaction_theme,
    case when s.name is null or j.is_unconfirmed then 'keywords' else getvariable('themes_llm')::varchar end as theme_source,
    s.error as theme_error,
    case when j.is_unconfirmed then s.name end as unconfirmed_theme,
    j.theme_validity,
    j.validity_low,
    j.validity_high,
    f.jaccards[z.cluster_id + 1] as stability
from sizes as z
inner join statement_cluster_fits as f using (clustering)
left join typical as w using (clustering, cluster_id)
left join named as s using (clustering, cluster_id)
left join judged as j using (clustering, cluster_id)
order by z.clustering, z.cluster_id
