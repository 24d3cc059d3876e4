-- Where each statement lies on the map: points of the sample at their fitted place, all others placed beside them.
with placed as (
    select e.statement_id, e.embedder, place(e.embedding, f.fitted) as point
    from statement_embeddings as e
    inner join statement_map_fits as f using (embedder)
    where e.embedding is not null
)

select * exclude (point), point.x as x, point.y as y
from placed
