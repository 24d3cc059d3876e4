-- The cluster of each response by the fit on one half; `test` rows had no part in it.
select
    f.clustering,
    e.statement_id,
    e.llm_id,
    e.sample,
    statement_half(e.statement_id, getvariable('random_state')) as half,
    assign_cluster(e.embedding, f.fitted) as cluster_id
from response_embeddings as e
cross join comparison_cluster_fits as f
where e.embedder = getvariable('clustering_embedder') and e.embedding is not null
