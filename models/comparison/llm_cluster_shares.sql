-- How the responses of each language model spread over the clusters, on the statements that did not define them.
with cells as (
    -- the statement is the unit: its samples become one share
    select c.clustering, c.statement_id, c.llm_id, k.cluster_id, avg((c.cluster_id = k.cluster_id)::int) as share
    from comparison_clusters as c
    inner join (select distinct clustering, cluster_id from comparison_clusters) as k using (clustering)
    where c.half = 'test'
    group by all
),

final as (
    select
        clustering, cluster_id, llm_id,
        count(*) as n,
        avg(share) as share,
        wilson(round(sum(share))::bigint, count(*)).low as ci_low,
        wilson(round(sum(share))::bigint, count(*)).high as ci_high
    from cells
    group by all
)

select * from final
order by clustering, cluster_id, llm_id
