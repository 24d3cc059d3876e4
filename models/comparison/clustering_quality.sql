-- How good each clustering is, by itself and against the behaviors where statements have one.
with labelled as (
    select 'statements' as subject, c.clustering, c.cluster_id, s.behavior, count(*) as n
    from statement_clusters as c
    inner join statements as s using (statement_id)
    group by all
    union all
    select 'responses' as subject, c.clustering, c.cluster_id, s.behavior, count(*) as n
    from response_clusters as c
    inner join statements as s using (statement_id)
    group by all
),

agreements as (
    select
        subject, clustering,
        sum(n)::bigint as n,
        coalesce(sum(n) filter (where cluster_id = -1), 0) / sum(n) as share_noise,
        cluster_agreement(
            list(cluster_id::varchar order by cluster_id, behavior), list(behavior order by cluster_id, behavior),
            counts := list(n order by cluster_id, behavior)
        ) as agreement
    from labelled
    group by all
),

fits as (
    select 'statements' as subject, * from statement_cluster_fits
    union all by name
    select 'responses' as subject, * from response_cluster_fits
)

select
    f.subject,
    f.clustering,
    f.algorithm,
    f.n_clusters,
    a.n,
    f.n_sample,
    1 - f.n_sample / a.n as share_assigned,
    a.share_noise,
    f.silhouette,
    f.stability,
    f.stability_low,
    f.stability_high,
    f.jaccards,
    list_aggregate(list_transform(f.jaccards, lambda x: (x < 0.6)::int), 'avg') as share_unstable,
    a.agreement.ari as ari,
    a.agreement.nmi as nmi
from fits as f
inner join agreements as a using (subject, clustering)
order by f.subject, f.clustering
