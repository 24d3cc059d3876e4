-- The words that are typical of each cluster of responses: in its statements, in its responses, and in both together.
with texts as (
    select c.clustering, c.cluster_id, r.statement_id, r.llm_id, r.sample, s.statement, r.response
    from response_clusters as c
    semi join response_cluster_fits as f using (clustering)  -- a clustering more is no growth of the others
    inner join responses as r using (statement_id, llm_id, sample)
    inner join statements as s using (statement_id)
    -- words of 200 members a cluster tell as much as those of all
    qualify
        row_number() over (
            partition by c.clustering, c.cluster_id
            order by md5(concat_ws('|', r.statement_id, r.llm_id, r.sample, getvariable('random_state')))
        ) <= 200
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
)

select
    s.clustering,
    s.word.cluster_id as cluster_id,
    s.word.keywords as statement_theme,
    r.word.keywords as response_theme,
    i.word.keywords as interaction_theme
from statement_themes as s
inner join response_themes as r on r.clustering = s.clustering and r.word.cluster_id = s.word.cluster_id
inner join interaction_themes as i on i.clustering = s.clustering and i.word.cluster_id = s.word.cluster_id
order by s.clustering, s.word.cluster_id
