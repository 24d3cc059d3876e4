-- Which clusters tell two language models apart: paired by statement, tested on the half that defined no cluster.
with counts as (
    select
        clustering, llm_id, statement_id, cluster_id,
        count(*) as n,
        sum(count(*)) over (partition by clustering, llm_id, statement_id) as samples
    from comparison_clusters
    where half = 'test'
    group by clustering, llm_id, statement_id, cluster_id
),

-- a statement is inside the cluster that holds more than half of its samples, if one does
inside as (
    select clustering, llm_id, statement_id, max(case when 2 * n > samples then cluster_id end) as cluster_id
    from counts
    group by clustering, llm_id, statement_id
),

paired as (
    select
        a.clustering,
        a.llm_id as llm_a,
        b.llm_id as llm_b,
        a.cluster_id as cluster_a,
        b.cluster_id as cluster_b,
        count(*) over (partition by a.clustering, a.llm_id, b.llm_id) as n
    from inside as a
    inner join inside as b on b.clustering = a.clustering and b.statement_id = a.statement_id and a.llm_id < b.llm_id
),

-- only the clusters of its two responses can count a statement, so no row is made for all others
cells as (
    select clustering, llm_a, llm_b, cluster_a, cluster_b, unnest(list_distinct([cluster_a, cluster_b])) as cluster_id
    from paired
),

pairs as (
    select
        p.clustering, k.cluster_id, p.llm_a, p.llm_b, p.n,
        count(*) filter (where c.cluster_a = k.cluster_id) as inside_a,
        count(*) filter (where c.cluster_b = k.cluster_id) as inside_b,
        count(*) filter (where c.cluster_a = k.cluster_id and c.cluster_b is distinct from k.cluster_id) as only_a,
        count(*) filter (where c.cluster_b = k.cluster_id and c.cluster_a is distinct from k.cluster_id) as only_b
    from (select distinct clustering, llm_a, llm_b, n from paired) as p
    inner join (select distinct clustering, cluster_id from comparison_clusters) as k using (clustering)
    left join cells as c
        on c.clustering = p.clustering and c.llm_a = p.llm_a and c.llm_b = p.llm_b and c.cluster_id = k.cluster_id
    group by all
),

tested as (
    select
        clustering, cluster_id, llm_a, llm_b, n,
        inside_a / n as share_a,
        inside_b / n as share_b,
        (only_a - only_b) / n as difference,
        paired_difference(only_a, only_b, n).low as ci_low,
        paired_difference(only_a, only_b, n).high as ci_high,
        mcnemar_midp(only_a, only_b) as p_value
    from pairs
),

corrected as (
    select
        unnest(list(t order by clustering, cluster_id, llm_a, llm_b)) as t,
        unnest(adjust_p(list(p_value order by clustering, cluster_id, llm_a, llm_b))) as q_value
    from tested as t
)

select t.*, q_value, q_value <= getvariable('fdr') as significant
from corrected
