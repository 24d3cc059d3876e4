-- Which clusters tell two language models apart: paired by statement, tested on the half that defined no cluster.
with cells as (
    select c.clustering, c.statement_id, c.llm_id, k.cluster_id, avg((c.cluster_id = k.cluster_id)::int) > 0.5 as inside
    from comparison_clusters as c
    inner join (select distinct clustering, cluster_id from comparison_clusters) as k using (clustering)
    where c.half = 'test'
    group by all
),

pairs as (
    select
        a.clustering, a.cluster_id,
        a.llm_id as llm_a,
        b.llm_id as llm_b,
        count(*) as n,
        count(*) filter (where a.inside) as inside_a,
        count(*) filter (where b.inside) as inside_b,
        count(*) filter (where a.inside and not b.inside) as only_a,
        count(*) filter (where not a.inside and b.inside) as only_b
    from cells as a
    inner join cells as b
        on b.clustering = a.clustering and b.cluster_id = a.cluster_id and b.statement_id = a.statement_id and a.llm_id < b.llm_id
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
