-- Each response with a vector has its place on the map.
select e.statement_id, e.llm_id, e.sample, e.embedder
from response_embeddings as e
anti join response_map as m using (statement_id, llm_id, sample, embedder)
where e.embedding is not null
