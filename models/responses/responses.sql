-- What each language model says to each statement.
with questions as (
    select
        s.statement_id,
        l.llm_id,
        t.sample,
        s.statement,
        s.behavior,
        s.matching_answer,
        getvariable('statements_system_message') as system_message,
        replace(getvariable('statements_prompt_template'), '{statement}', s.statement) as prompt
    from statements as s
    cross join subjects as l
    cross join (select unnest(range(getvariable('samples')::int))::int as sample) as t
),

answered as (
    select
        *,
        llm(
            prompt, llm_id, system := system_message, sample := sample,
            truth := { task: 'react', statement: statement, behavior: behavior, matching_answer: matching_answer }
        ) as answer
    from questions
),

final as (
    select
        statement_id, llm_id, sample, system_message, prompt,
        answer.text as response,
        answer.reasoning as reasoning,
        answer.finish_reason as finish_reason,
        answer.error as error,
        answer.input_tokens as input_tokens,
        answer.output_tokens as output_tokens,
        try_cast(told_beside(answer.detail, 'reasoning_tokens') as int) as reasoning_tokens,
        answer.latency_ms as latency_ms,
        answer.cost_usd as cost_usd,
        try_cast(told_beside(answer.detail, 'reasoning_usd') as double) as reasoning_usd,
        told_beside(answer.detail, 'model') as served_model,
        told_beside(answer.detail, 'fingerprint') as served_fingerprint,
        coalesce(told_beside(answer.detail, 'system') = 'folded', false) as system_folded,
        answer.answered_at as responded_at
    from answered
)

select * from final
