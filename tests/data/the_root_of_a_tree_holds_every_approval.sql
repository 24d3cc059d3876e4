-- The root of each tree has the approvals of all its clusters together.
with roots as (
    select a.clustering, a.llm_id, a.prompt_type, a.prompt_name, a.n, a.approved
    from statement_cluster_tree_approvals as a
    inner join statement_cluster_tree as t using (clustering, node_id)
    where t.parent_id is null
),

leaves as (
    select clustering, llm_id, prompt_type, prompt_name, sum(n) as n, sum(approved) as approved
    from statement_cluster_approvals
    where cluster_id >= 0
    group by all
)

select l.*
from leaves as l
left join roots as r using (clustering, llm_id, prompt_type, prompt_name)
where r.n is distinct from l.n or r.approved is distinct from l.approved
