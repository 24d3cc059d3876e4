-- Each approval was asked under the system message of its own prompt, word for word.
select a.statement_id, a.llm_id, a.prompt_type, a.prompt_name
from approvals as a
left join approval_prompts as p using (prompt_type, prompt_name)
where a.system_message is distinct from p.system_message
