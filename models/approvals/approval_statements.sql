-- Decisions with the statement as the unit: the samples of a cell become one share.
with final as (
    select
        a.statement_id, a.llm_id, a.prompt_type, a.prompt_name, a.wording,
        s.behavior, s.matching_answer,
        count(*) as samples,
        count(*) filter (where a.decision = 'approved') as approved,
        count(*) filter (where a.decision = 'disapproved') as disapproved,
        count(*) filter (where a.decision = 'refused') as refused,
        count(*) filter (where a.decision = 'unparsable') as unparsable,
        count(*) filter (where a.decision = 'error') as errors,
        count(*) filter (where a.decision = 'approved')
        / nullif(count(*) filter (where a.decision in ('approved', 'disapproved')), 0) as share,
        avg(a.p_approve order by a.sample) as p_approve,  -- in a fixed order, so that a rebuild is equal to the last digit
        max(a.error) as error
    from approvals as a
    inner join statements as s using (statement_id)
    group by all
)

select * from final
