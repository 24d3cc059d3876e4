-- Approval of the statements of each cluster, and how far each prompt moves it from the first prompt of its type.
with cells as (
    select
        c.clustering, c.cluster_id, a.statement_id, a.llm_id, a.prompt_type, a.prompt_name, a.samples, a.share,
        -- whether the decision shows the behavior, as in approval_differences: a cluster holds statements that show a
        -- behavior and statements that deny it, so a shift of approvals alone would cancel out
        case when a.share <> 0.5 then (a.share > 0.5) = (coalesce(a.matching_answer, 'yes') = 'yes') end as shows
    from approval_statements as a
    inner join statement_clusters as c using (statement_id)
    where a.wording = 'approve'
),

rates as (
    select
        clustering, cluster_id, llm_id, prompt_type, prompt_name,
        sum(samples)::bigint as n,
        count(share) as n_statements,
        -- as exact decimals, whose sum is the same in any order: a rebuild is equal to the last digit
        round(sum(share::decimal(18, 15)))::bigint as approved,
        avg(share::decimal(18, 15)) as rate
    from cells
    group by all
),

baselines as (
    select prompt_type, min(prompt_name) as baseline from cells group by prompt_type
),

pairs as (
    select
        a.clustering, a.cluster_id, a.llm_id, a.prompt_type, a.prompt_name,
        b.prompt_name as baseline,
        count(*) as n_paired,
        count(*) filter (where a.shows and not b.shows) as only_this,
        count(*) filter (where b.shows and not a.shows) as only_baseline
    from cells as a
    inner join baselines as f using (prompt_type)
    inner join cells as b
        on
            b.clustering = a.clustering and b.statement_id = a.statement_id and b.llm_id = a.llm_id
            and b.prompt_type = a.prompt_type and b.prompt_name = f.baseline
    where a.prompt_name <> f.baseline and a.shows is not null and b.shows is not null
    group by all
),

tested as (
    select
        *,
        (only_this - only_baseline) / n_paired as difference,
        mcnemar_midp(only_this, only_baseline) as p_value
    from pairs
),

corrected as (
    select
        unnest(list(t order by clustering, cluster_id, llm_id, prompt_type, prompt_name)) as t,
        unnest(adjust_p(list(p_value order by clustering, cluster_id, llm_id, prompt_type, prompt_name))) as q_value
    from tested as t
),

final as (
    select
        r.clustering, r.cluster_id, r.llm_id, r.prompt_type, r.prompt_name,
        r.n, r.n_statements, r.approved, r.rate,
        wilson(r.approved, r.n_statements).low as ci_low,
        wilson(r.approved, r.n_statements).high as ci_high,
        c.t.baseline as baseline,
        c.t.difference as difference,
        paired_difference(c.t.only_this, c.t.only_baseline, c.t.n_paired).low as difference_low,
        paired_difference(c.t.only_this, c.t.only_baseline, c.t.n_paired).high as difference_high,
        c.t.p_value as p_value,
        c.q_value as q_value
    from rates as r
    left join corrected as c
        on
            c.t.clustering = r.clustering and c.t.cluster_id = r.cluster_id and c.t.llm_id = r.llm_id
            and c.t.prompt_type = r.prompt_type and c.t.prompt_name = r.prompt_name
)

select * from final
