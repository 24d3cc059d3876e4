-- What each cluster of responses is about: typical words of its statements, its responses, and both together.
with texts as (
    select c.clustering, c.cluster_id, r.statement_id, r.llm_id, r.sample, s.statement, r.response
    from response_clusters as c
    inner join responses as r using (statement_id, llm_id, sample)
    inner join statements as s using (statement_id)
),

words as (
    select
        clustering,
        cluster_keywords(list(statement order by statement_id, llm_id, sample), list(cluster_id order by statement_id, llm_id, sample))
            as statement_words,
        cluster_keywords(list(response order by statement_id, llm_id, sample), list(cluster_id order by statement_id, llm_id, sample))
            as response_words,
        cluster_keywords(
            list(statement || ' ' || response order by statement_id, llm_id, sample),
            list(cluster_id order by statement_id, llm_id, sample)
        ) as interaction_words
    from texts
    group by clustering
),

statement_themes as (
    select clustering, unnest(statement_words) as word from words
),

response_themes as (
    select clustering, unnest(response_words) as word from words
),

interaction_themes as (
    select clustering, unnest(interaction_words) as word from words
),

sizes as (
    select clustering, cluster_id, count(*) as n from response_clusters group by all
)

select
    n.clustering,
    n.cluster_id,
    n.n,
    s.word.keywords as statement_theme,
    r.word.keywords as response_theme,
    i.word.keywords as interaction_theme,
    'keywords' as theme_source,
    null::double as theme_validity
from sizes as n
left join statement_themes as s on s.clustering = n.clustering and s.word.cluster_id = n.cluster_id
left join response_themes as r on r.clustering = n.clustering and r.word.cluster_id = n.cluster_id
left join interaction_themes as i on i.clustering = n.clustering and i.word.cluster_id = n.cluster_id
order by n.clustering, n.cluster_id
