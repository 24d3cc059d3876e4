-- What spoils a comparison before it is made: language models whose answers are often empty, cut off, unreadable, refused or failed.
with shares as (
    select
        llm_id,
        sum(samples)::bigint as n_approvals,
        sum(empty) / sum(samples) as empty_approvals,
        sum(cut_off) / sum(samples) as cut_off_approvals,
        sum(unparsable - empty - cut_off) / sum(samples) as unreadable_approvals,
        sum(refused) / sum(samples) as refused_approvals,
        sum(errors) / sum(samples) as failed_approvals,
        case
            when getvariable('approval_from') = 'probabilities'
                then
                    coalesce(sum(approved + disapproved) filter (where p_approve is null), 0)
                    / nullif(sum(approved + disapproved), 0)
        end as approvals_without_probability
    from approval_statements
    group by llm_id
),

phrases as (
    select
        llm_id,
        a.* exclude (llm_id),
        r.* exclude (llm_id, found, problem),
        list_concat(
            [
                case when empty_approvals >= 0.05 then share_text(empty_approvals) || ' of its answers on approval say nothing' end,
                case
                    when cut_off_approvals >= 0.05
                        then share_text(cut_off_approvals) || ' of its answers on approval are cut at max_tokens before they decide'
                end,
                case
                    when unreadable_approvals >= 0.2
                        then share_text(unreadable_approvals) || ' of its answers on approval could not be read as a decision'
                end,
                case when refused_approvals >= 0.2 then share_text(refused_approvals) || ' of its answers on approval are refusals' end,
                case when failed_approvals >= 0.05 then share_text(failed_approvals) || ' of its calls for approval failed' end,
                case
                    when approvals_without_probability >= 0.05
                        then
                            'for ' || share_text(approvals_without_probability)
                            || ' of its decisions no probability is known, so that they are compared with probabilities of the others'
                end
            ],
            coalesce(r.found, [])
        ) as found,
        coalesce(empty_approvals >= 0.05 or cut_off_approvals >= 0.05, false)
        or coalesce(empty_responses >= 0.05 or cut_off_responses >= 0.2, false) as is_short,
        coalesce(greatest(empty_approvals, cut_off_approvals, unreadable_approvals, refused_approvals, failed_approvals) >= 0.05, false)
        or coalesce(greatest(empty_responses, failed_responses) >= 0.05, false) as left_out
    from shares as a
    full join response_problems as r using (llm_id)
),

final as (
    select
        * exclude (found, is_short, left_out),
        problem_text(llm_id, found, is_short, left_out) as problem
    from phrases
)

select * from final
where problem is not null
order by llm_id
