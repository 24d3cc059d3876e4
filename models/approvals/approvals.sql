-- Whether each language model approves of each statement, under each prompt and in each wording.
with questions as (
    select
        s.statement_id, s.statement, s.behavior, s.matching_answer,
        l.llm_id,
        p.prompt_type, p.prompt_name, p.system_message,
        w.wording,
        t.sample,
        replace(
            case w.wording
                when 'approve' then getvariable('approval_prompt_template')
                when 'object' then getvariable('objection_prompt_template')
            end,
            '{statement}', s.statement
        ) as prompt
    from statements as s
    cross join subjects as l
    cross join approval_prompts as p
    cross join (select unnest(getvariable('wordings')) as wording) as w
    cross join (select unnest(range(getvariable('samples')::int))::int as sample) as t
),

answered as (
    select
        *,
        llm(
            prompt, llm_id, system := system_message, sample := sample, logprobs := true,
            truth := { task: wording, statement: statement, behavior: behavior, matching_answer: matching_answer }
        ) as answer
    from questions
),

final as (
    select
        statement_id, llm_id, prompt_type, prompt_name, wording, sample, system_message, prompt,
        answer.text as answer,
        answer.finish_reason as finish_reason,
        answer.error as error,
        decision(answer.text, wording := wording, error := answer.error, finish_reason := answer.finish_reason) as decision,
        case wording when 'approve' then p_approve(answer.detail) else 1 - p_approve(answer.detail) end as p_approve,
        answer.input_tokens as input_tokens,
        answer.output_tokens as output_tokens,
        answer.latency_ms as latency_ms,
        answer.cost_usd as cost_usd,
        answer.answered_at as answered_at
    from answered
)

select * from final
