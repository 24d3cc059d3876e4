-- What each cluster of statements is about: the words typical of it.
with words as (
    select
        c.clustering,
        cluster_keywords(list(s.statement order by s.statement_id), list(c.cluster_id order by s.statement_id)) as words
    from statement_clusters as c
    inner join statements as s using (statement_id)
    group by c.clustering
),

themes as (
    select clustering, unnest(words) as word from words
),

sizes as (
    select clustering, cluster_id, count(*) as n from statement_clusters group by all
)

select
    n.clustering,
    n.cluster_id,
    n.n,
    t.word.keywords as statement_theme,
    'keywords' as theme_source,
    null::double as theme_validity
from sizes as n
left join themes as t on t.clustering = n.clustering and t.word.cluster_id = n.cluster_id
order by n.clustering, n.cluster_id
