-- How often one language model decides otherwise than itself: rows of llms that differ in nothing but `replicate`, asked apart.
-- Any difference between two language models is to be seen against it.
with rows as (
    select
        llm_id, provider, model,
        coalesce((params ->> 'replicate')::int, 0) as replicate,
        list_transform(
            list_filter(
                list_sort(json_keys(params)),
                lambda name: name not in (
                    'replicate', 'max_concurrency', 'batch_size', 'requests_per_minute', 'tokens_per_minute', 'timeout_s', 'max_retries',
                    'initial_sleep_s', 'max_wait_s', 'usd_per_mtok_in', 'usd_per_mtok_out', 'mode', 'device'
                )
            ),
            lambda name: name || json_extract(params, '$."' || name || '"')
        ) as settings
    from llms
    semi join subjects using (llm_id)
),

pairs as (
    select a.llm_id, b.llm_id as other_llm
    from rows as a
    inner join rows as b
        on
            a.llm_id < b.llm_id and a.replicate <> b.replicate and a.provider = b.provider and a.model is not distinct from b.model
            and coalesce(a.settings, []) = coalesce(b.settings, [])
),

statement_shares as (
    select p.llm_id, p.other_llm, a.statement_id, count(*) as n_decisions, avg((a.decision <> b.decision)::int) as share
    from pairs as p
    inner join approvals as a on a.llm_id = p.llm_id and a.error is null
    inner join approvals as b
        on
            b.llm_id = p.other_llm and b.error is null and b.statement_id = a.statement_id and b.prompt_type = a.prompt_type
            and b.prompt_name = a.prompt_name and b.wording = a.wording and b.sample = a.sample
    group by all
),

groups as (
    select
        s.llm_id, s.other_llm, g.group_id,
        sum(s.n_decisions) as n_decisions,
        count(*) as k,
        sum(s.share order by s.statement_id) as total,
        sum(s.share * s.share order by s.statement_id) as squares
    from statement_shares as s
    inner join statement_groups as g using (statement_id)
    group by all
),

shares as (
    select
        llm_id, other_llm,
        sum(n_decisions)::bigint as n_decisions,
        sum(k)::bigint as n_statements,
        count(*) as n_groups,
        sum(total order by group_id) / sum(k) as share,
        { y2: sum(squares order by group_id), tg: sum(total * total / k order by group_id), k2: sum(k * k) } as group_sums
    from groups
    group by all
)

select
    * exclude (group_sums),
    share_interval(share, n_statements, n_groups, group_sums).low as ci_low,
    share_interval(share, n_statements, n_groups, group_sums).high as ci_high
from shares
order by llm_id, other_llm
