-- The words that are typical of each cluster of statements.
with words as (
    select
        c.clustering,
        cluster_keywords(list(s.statement order by s.statement_id), list(c.cluster_id order by s.statement_id)) as words
    from statement_clusters as c
    semi join statement_cluster_fits as f using (clustering)  -- a clustering more is no growth of the others
    inner join statements as s using (statement_id)
    group by c.clustering
),

themes as (
    select clustering, unnest(words) as word from words
)

select
    clustering,
    word.cluster_id as cluster_id,
    word.keywords as statement_theme
from themes
order by clustering, word.cluster_id
