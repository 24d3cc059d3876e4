-- What stands out, as sentences, in responses and approvals together: what the Overview says.
-- Between what differs and what is not shown stands how much a language model differs from itself, where that was asked.
with noise as (
    select
        'noise' as kind,
        llm_id || ' and ' || other_llm || ' are one language model, asked twice: it decides otherwise in ' || share_text(share) as title,
        '95 % interval ' || share_text(ci_low) || ' to ' || share_text(ci_high)
        || format(', {:,} decisions on {:,} statements.', n_decisions, n_statements) as detail,
        'noise_floor' as "table",
        to_json({ llm_id: llm_id, other_llm: other_llm }) as key,
        [llm_id, other_llm] as llm_ids,
        share as value, ci_low, ci_high, n_statements, n_groups,
        [] as statement_ids,
        'approvals' as page
    from noise_floor
),

every as (
    select * from told('finding_candidates', 'answer_problems', 'statement_looks')
    union all by name
    select *, title || '. ' || detail as text from noise
)

select
    * replace (
        row_number() over (
            order by case kind when 'warning' then 1 when 'difference' then 2 when 'noise' then 3 else 4 end, position, title
        ) as position
    )
from every
order by position
