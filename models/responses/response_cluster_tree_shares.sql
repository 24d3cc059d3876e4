-- How much of what each language model says lies below every node of the tree over the clusters of responses.
with members as (
    select clustering, node_id, unnest(clusters) as cluster_id
    from response_cluster_tree
),

said as (
    select clustering, cluster_id, llm_id, count(*) as n
    from response_clusters
    group by all
),

totals as (
    select clustering, llm_id, sum(n) as n
    from said
    group by all
),

counts as (
    select m.clustering, m.node_id, s.llm_id, sum(s.n)::bigint as n
    from members as m
    inner join said as s using (clustering, cluster_id)
    group by all
),

final as (
    select c.clustering, c.node_id, c.llm_id, c.n, c.n / t.n as share
    from counts as c
    inner join totals as t using (clustering, llm_id)
)

select * from final
order by clustering, node_id, llm_id
