-- How the responses of each language model spread over the clusters, on the statements that did not define them.
with counts as (
    select
        clustering, llm_id, statement_id, cluster_id,
        count(*) / sum(count(*)) over (partition by clustering, llm_id, statement_id) as share
    from comparison_clusters
    where half = 'test'
    group by clustering, llm_id, statement_id, cluster_id
),

-- the statement is the unit: its samples become one share of a cluster (no row where that is 0)
totals as (
    select clustering, llm_id, count(distinct statement_id) as n
    from counts
    group by clustering, llm_id
),

shares as (
    select
        t.clustering, k.cluster_id, t.llm_id, t.n,
        coalesce(sum(c.share), 0) as members
    from totals as t
    inner join (select distinct clustering, cluster_id from comparison_clusters) as k using (clustering)
    left join counts as c on c.clustering = t.clustering and c.llm_id = t.llm_id and c.cluster_id = k.cluster_id
    group by all
),

final as (
    select
        clustering, cluster_id, llm_id, n,
        members / n as share,
        wilson(round(members)::bigint, n).low as ci_low,
        wilson(round(members)::bigint, n).high as ci_high
    from shares
)

select * from final
order by clustering, cluster_id, llm_id
