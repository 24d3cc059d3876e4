-- Each tree has one root, and the root holds all members of the leaves.
with trees as (
    select
        'responses' as subject,
        *
    from response_cluster_tree
    union all
    select
        'statements' as subject,
        *
    from statement_cluster_tree
)

select
    subject,
    clustering
from trees
group by subject, clustering
having
    count(*) filter (where parent_id is null) <> 1
    or max(n) filter (where parent_id is null) <> sum(n) filter (where cluster_id is not null)
