-- The cluster of each response in each clustering; -1 is noise.
select
    f.clustering,
    e.statement_id, e.llm_id, e.sample,
    assign_cluster(e.embedding, f.fitted) as cluster_id
from response_embeddings as e
cross join response_cluster_fits as f
where e.embedder = getvariable('clustering_embedder') and e.embedding is not null
