-- No statement has a part in defining the clusters on which its own responses are compared.
select statement_id, count(distinct half) as halves
from comparison_clusters
group by statement_id
having count(distinct half) > 1
