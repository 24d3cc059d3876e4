-- Whether each language model approves of each statement, under each prompt and in each wording.
with questions as (
    select
        s.statement_id, s.statement, s.behavior, s.matching_answer, s."group",
        l.llm_id,
        p.prompt_type, p.prompt_name, p.system_message,
        w.wording, w.yes_means,
        t.sample,
        replace(w.template, '{statement}', s.statement) as prompt
    from statements as s
    cross join subjects as l
    cross join approval_prompts as p
    cross join wordings as w
    cross join (select unnest(range(getvariable('samples')::int))::int as sample) as t
),

answered as (
    select
        *,
        llm(
            prompt, llm_id, system := system_message, sample := sample, logprobs := true,
            max_tokens := getvariable('approval_max_tokens')::int,
            truth := {
                task: yes_means, wording: wording, statement: statement, behavior: behavior, matching_answer: matching_answer,
                "group": "group"
            }
        ) as answer
    from questions
),

-- the first token of an answer that was thought about is a thought's
weighed as (
    select
        *,
        case when answer.reasoning is null then answer.detail end as first_token,
        p_mass(first_token) as p_mass
    from answered
),

final as (
    select
        statement_id, llm_id, prompt_type, prompt_name, wording, sample, system_message, prompt,
        answer.text as answer,
        answer.reasoning as reasoning,
        answer.finish_reason as finish_reason,
        is_cut_off(answer.finish_reason) as cut_off,
        answer.error as error,
        decision(answer.text, wording := yes_means, error := answer.error, finish_reason := answer.finish_reason) as decision,
        -- how likely yes is beside no says nothing where the language model was about to say something else
        case
            when p_mass < getvariable('least_p_mass') then null
            when yes_means = 'approve' then p_approve(first_token)
            else 1 - p_approve(first_token)
        end as p_approve,
        p_mass,
        answer.input_tokens as input_tokens,
        answer.output_tokens as output_tokens,
        try_cast(told_beside(answer.detail, 'reasoning_tokens') as int) as reasoning_tokens,
        answer.latency_ms as latency_ms,
        answer.cost_usd as cost_usd,
        try_cast(told_beside(answer.detail, 'reasoning_usd') as double) as reasoning_usd,
        told_beside(answer.detail, 'model') as served_model,
        told_beside(answer.detail, 'fingerprint') as served_fingerprint,
        coalesce(told_beside(answer.detail, 'system') = 'folded', false) as system_folded,
        answer.answered_at as answered_at
    from weighed
)

select * from final
