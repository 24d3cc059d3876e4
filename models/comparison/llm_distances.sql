-- Can two language models be told apart by what they say? Cross-validated, both responses to a statement in one fold.
with vectors as (
    select llm_id, statement_id, embedding
    from response_embeddings
    where embedder = getvariable('clustering_embedder') and sample = 0 and embedding is not null
    qualify
        row_number() over (partition by llm_id order by md5(concat_ws('|', statement_id, getvariable('random_state'))))
        <= getvariable('fit_sample')
),

pairs as (
    select
        a.llm_id as llm_a,
        b.llm_id as llm_b,
        count(*) as n,
        separability(
            list(a.embedding order by a.statement_id), list(b.embedding order by a.statement_id),
            permutations := getvariable('permutations'), random_state := getvariable('random_state')
        ) as result
    from vectors as a
    inner join vectors as b on b.statement_id = a.statement_id and a.llm_id < b.llm_id
    group by all
)

select
    llm_a,
    llm_b,
    n,
    result.auc as separability,
    result.ci_low as ci_low,
    result.ci_high as ci_high,
    result.p_value as p_value
from pairs
order by llm_a, llm_b
