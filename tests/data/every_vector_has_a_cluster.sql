-- Each response with a vector of the embedder that is clustered has a cluster (or is noise) in each clustering.
select e.statement_id, e.llm_id, e.sample, f.clustering
from response_embeddings as e
cross join response_cluster_fits as f
anti join response_clusters as c
    on
        c.clustering = f.clustering and c.statement_id = e.statement_id
        and c.llm_id = e.llm_id and c.sample = e.sample
where e.embedding is not null and e.embedder = getvariable('clustering_embedder')
