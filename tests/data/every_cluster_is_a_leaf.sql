-- Each cluster that holds responses (noise aside) is a leaf of its clustering's tree.
select distinct c.clustering, c.cluster_id
from response_clusters as c
anti join response_cluster_tree as t using (clustering, cluster_id)
where c.cluster_id >= 0
