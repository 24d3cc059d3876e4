-- Each question holds the statement that it is about, word for word.
with asked as (
    select
        statement_id,
        prompt
    from responses
    union all
    select
        statement_id,
        prompt
    from approvals
)

select asked.*
from asked
inner join statements on asked.statement_id = statements.statement_id
where not contains(asked.prompt, statements.statement)
