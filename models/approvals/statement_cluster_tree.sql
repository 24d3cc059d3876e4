-- Ward's tree over the clusters of each clustering: leaves are clusters, inner nodes are merges, the root has no parent.
with recursive centroids as (
    select clustering, unnest(cluster_centroids(fitted)) as c
    from statement_cluster_fits
),

sizes as (
    select clustering, cluster_id, count(*)::int as n
    from statement_clusters
    group by all
),

leaves as (
    select
        f.clustering,
        row_number() over (partition by f.clustering order by f.c.cluster_id) - 1 as node_id,
        f.c.cluster_id as cluster_id,
        f.c.centroid as centroid,
        coalesce(s.n, 0)::int as n
    from centroids as f
    left join sizes as s on s.clustering = f.clustering and s.cluster_id = f.c.cluster_id
),

trees as (
    select clustering, linkage(list(centroid order by node_id), list(n order by node_id)) as steps
    from leaves
    group by clustering
),

steps as (
    select clustering, unnest(steps) as m
    from trees
),

parents as (
    select clustering, m.left_id as node_id, m.node_id as parent_id from steps
    union all
    select clustering, m.right_id as node_id, m.node_id as parent_id from steps
),

nodes as (
    select clustering, node_id, cluster_id, 0.0::double as height, n from leaves
    union all
    select clustering, m.node_id as node_id, null as cluster_id, m.height as height, m.n as n from steps
),

-- the leaves below each node, itself included
below as (
    select clustering, node_id, cluster_id, n from leaves
    union all
    select b.clustering, p.parent_id, b.cluster_id, b.n
    from below as b
    inner join parents as p using (clustering, node_id)
),

labels as (
    select
        b.clustering, b.node_id,
        list(b.cluster_id order by b.cluster_id) as clusters,
        array_to_string(
            list_slice(list(left(t.statement_theme, getvariable('max_desc_length')) order by b.n desc, b.cluster_id asc), 1, 2), ' / '
        ) as label
    from below as b
    left join statement_cluster_themes as t using (clustering, cluster_id)
    group by all
),

final as (
    select
        n.clustering,
        n.node_id::int as node_id,
        p.parent_id::int as parent_id,
        n.cluster_id,
        n.height,
        n.n,
        l.label,
        l.clusters
    from nodes as n
    left join parents as p using (clustering, node_id)
    left join labels as l using (clustering, node_id)
)

select * from final
order by clustering, node_id
