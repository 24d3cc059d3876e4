-- The cluster of each statement in each clustering; -1 is noise.
select
    f.clustering,
    e.statement_id,
    assign_cluster(e.embedding, f.fitted) as cluster_id
from statement_embeddings as e
cross join statement_cluster_fits as f
where e.embedder = getvariable('clustering_embedder') and e.embedding is not null
