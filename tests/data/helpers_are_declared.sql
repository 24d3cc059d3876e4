-- severity: warn
-- The language models that name and judge clusters are rows of llms; without them clusters go by their typical words.
select helper
from (select unnest([getvariable('themes_llm')::varchar, getvariable('judge_llm')::varchar]) as helper) as h
where helper is not null and helper not in (select llm_id from llms)
