-- A map fitted on a seeded sample of the response embeddings, one per embedder.
with sample as (
    select embedder, embedding, statement_id, llm_id, sample
    from response_embeddings
    where embedding is not null
    qualify
        row_number() over (partition by embedder order by md5(concat_ws('|', statement_id, llm_id, sample, getvariable('random_state'))))
        <= getvariable('map_sample')
),

fits as (
    select
        embedder,
        fit_map(
            list(embedding order by statement_id, llm_id, sample), getvariable('map_method'),
            params := getvariable('map_params'), random_state := getvariable('random_state')
        ) as fit
    from sample
    group by embedder
)

select
    embedder,
    fit.fitted as fitted,
    fit.n_sample as n_sample,
    fit.method as method
from fits
