-- Which clusters tell two language models apart: paired by statement, tested on the half that defined no cluster.
with counts as (
    select clustering, llm_id, statement_id, cluster_id, count(*) as n
    from comparison_clusters
    where half = 'test'
    group by all
),

-- a statement is inside the cluster that holds more than half of its samples, if one does
inside as (
    select clustering, llm_id, statement_id, case when 2 * max(n) > sum(n) then arg_max_null(cluster_id, n) end as cluster_id
    from counts
    group by all
),

-- how many statements have their two responses in these two clusters
paired as (
    select
        a.clustering,
        a.llm_id as llm_a,
        b.llm_id as llm_b,
        a.cluster_id as cluster_a,
        b.cluster_id as cluster_b,
        count(*) as n
    from inside as a
    inner join inside as b on b.clustering = a.clustering and b.statement_id = a.statement_id and a.llm_id < b.llm_id
    group by all
),

totals as (
    select clustering, llm_a, llm_b, sum(n)::bigint as n from paired group by all
),

-- a statement counts in the clusters of its two responses only
cells as (
    select *, unnest(list_distinct([cluster_a, cluster_b])) as cluster_id from paired
),

pairs as (
    select
        t.clustering, k.cluster_id, t.llm_a, t.llm_b, t.n,
        coalesce(sum(c.n) filter (where c.cluster_a = k.cluster_id), 0)::bigint as inside_a,
        coalesce(sum(c.n) filter (where c.cluster_b = k.cluster_id), 0)::bigint as inside_b,
        coalesce(sum(c.n) filter (where c.cluster_a = k.cluster_id and c.cluster_b is distinct from k.cluster_id), 0)::bigint
            as only_a,
        coalesce(sum(c.n) filter (where c.cluster_b = k.cluster_id and c.cluster_a is distinct from k.cluster_id), 0)::bigint
            as only_b
    from totals as t
    inner join (select distinct clustering, cluster_id from comparison_clusters) as k using (clustering)
    left join cells as c
        on c.clustering = t.clustering and c.llm_a = t.llm_a and c.llm_b = t.llm_b and c.cluster_id = k.cluster_id
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
