-- The language models under study: all but those that only help, as by naming clusters.
select llm_id, provider, model
from llms
where role is distinct from 'helper'
