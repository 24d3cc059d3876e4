-- No statement that was shown to name a cluster of responses serves to judge that name.
select clustering, cluster_id, statement_id
from response_theme_members
where role in ('representative', 'random', 'unseen')
group by clustering, cluster_id, statement_id
having bool_or(role = 'unseen') and bool_or(role <> 'unseen')
