-- The responses that stand for each cluster: central, random, contrasting ones to name it by, unseen and foreign ones to judge by.
with centroids as (
    select clustering, unnest(cluster_centroids(fitted)) as c
    from response_cluster_fits
),

neighbors as (
    -- the other cluster that lies nearest to each
    select
        a.clustering,
        a.c.cluster_id as cluster_id,
        b.c.cluster_id as neighbor_id
    from centroids as a
    inner join centroids as b on b.clustering = a.clustering and b.c.cluster_id <> a.c.cluster_id
    qualify
        row_number() over (
            partition by a.clustering, a.c.cluster_id order by list_dot_product(a.c.centroid, b.c.centroid) desc, b.c.cluster_id
        ) = 1
),

placed as (
    select
        m.clustering, m.cluster_id, m.statement_id, m.llm_id, m.sample,
        s.statement,
        r.response,
        row_number() over (
            partition by m.clustering, m.cluster_id
            order by list_dot_product(e.embedding, c.c.centroid) desc, m.statement_id, m.llm_id, m.sample
        ) as nearness,
        md5(concat_ws('|', m.statement_id, m.llm_id, m.sample, getvariable('random_state'))) as lot
    from response_clusters as m
    inner join response_embeddings as e using (statement_id, llm_id, sample)
    inner join centroids as c on c.clustering = m.clustering and c.c.cluster_id = m.cluster_id
    inner join responses as r using (statement_id, llm_id, sample)
    inner join statements as s using (statement_id)
    where e.embedder = getvariable('clustering_embedder') and m.cluster_id >= 0
),

ranked as (
    select *, row_number() over (partition by clustering, cluster_id, nearness <= 5 order by lot) as draw
    from placed
),

-- another response to a statement that was shown is not unseen: the judge reads the statement, too
roles as (
    select
        *,
        case when nearness <= 5 then 'representative' when draw <= 5 then 'random' else 'unseen' end as role,
        bool_or(nearness <= 5 or draw <= 5) over (partition by clustering, cluster_id, statement_id) as is_shown
    from ranked
),

own as (
    select
        clustering, cluster_id, statement_id, llm_id, sample, statement, response, role,
        row_number() over (
            partition by clustering, cluster_id, role order by case when role = 'representative' then nearness end, lot
        ) as position
    from roles
    where role <> 'unseen' or not is_shown
    qualify position <= 12
),

contrasting as (
    select n.clustering, n.cluster_id, p.statement_id, p.llm_id, p.sample, p.statement, p.response, 'contrasting' as role, p.nearness as position
    from neighbors as n
    inner join placed as p on p.clustering = n.clustering and p.cluster_id = n.neighbor_id
    where p.nearness <= 3
),

pool as (
    -- foreign members are drawn from a bounded pool, so that cost does not grow with rows times clusters
    select * from ranked
    qualify row_number() over (partition by clustering order by lot) <= 300
),

strangers as (
    select
        n.clustering, n.cluster_id, p.statement_id, p.llm_id, p.sample, p.statement, p.response,
        row_number() over (partition by n.clustering, n.cluster_id order by md5(p.lot || n.cluster_id)) as position
    from neighbors as n
    inner join pool as p on p.clustering = n.clustering and p.cluster_id <> n.cluster_id
)

select * from own
union all by name
select * from contrasting
union all by name
select *, 'foreign' as role from strangers where position <= 12
