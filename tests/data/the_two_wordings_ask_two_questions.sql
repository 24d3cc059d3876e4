-- The wordings approve and object of one statement are never the same question.
select
    statement_id,
    prompt,
    count(distinct wording) as wordings
from approvals
group by statement_id, prompt
having count(distinct wording) > 1
