-- Approval at every node of the tree over the clusters of statements: how rates change from the root down.
with members as (
    select clustering, node_id, unnest(clusters) as cluster_id
    from statement_cluster_tree
),

counts as (
    select
        m.clustering, m.node_id, a.llm_id, a.prompt_type, a.prompt_name,
        sum(a.n)::bigint as n,
        sum(a.n_statements)::bigint as n_statements,
        sum(a.approved)::bigint as approved,
        sum(a.rate * a.n_statements order by m.cluster_id) / nullif(sum(a.n_statements), 0) as rate
    from members as m
    inner join statement_cluster_approvals as a using (clustering, cluster_id)
    group by all
),

final as (
    select
        *,
        wilson(approved, n_statements).low as ci_low,
        wilson(approved, n_statements).high as ci_high
    from counts
)

select * from final
order by clustering, node_id, llm_id, prompt_type, prompt_name
