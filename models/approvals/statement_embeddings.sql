-- Each statement as a unit vector, per embedder.
with texts as (
    select r.statement_id, r.statement as text, f.embedder, f.fitted
    from statements as r
    cross join statement_embedder_fits as f
),

transformed as (
    select
        * exclude (text, fitted),
        transform_text(text, embedder, fitted) as embedding,
        null::varchar as error
    from texts
    where fitted is not null
),

asked as (
    select * exclude (text, fitted), embed(text, embedder) as answer
    from texts
    where fitted is null
),

answered as (
    select * exclude (answer), answer.vector as embedding, answer.error as error
    from asked
)

select * from transformed
union all by name
select * from answered
