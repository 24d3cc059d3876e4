-- How texts are grouped: the rows of the seed clusterings, checked before anything is asked.
select
    clustering,
    algorithm,
    checked_clustering(clustering, algorithm, coalesce(n_clusters, 'auto'), params := params) as n_clusters,
    params
from clusterings
