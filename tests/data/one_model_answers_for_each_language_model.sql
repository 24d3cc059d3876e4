-- severity: warn
-- By the servers' own word, each language model was one and the same in all of its answers.
with served as (
    select llm_id, served_model from responses
    union all
    select llm_id, served_model from approvals
)

select llm_id, list(distinct served_model order by served_model) as served_models
from served
group by llm_id
having count(distinct served_model) > 1
