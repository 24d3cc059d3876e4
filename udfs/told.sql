-- What stands out, as sentences: first what spoils a comparison, then one fact once, by the nearer end of its interval, then what is
-- not shown. Each sentence is made from the row of the candidates beside it, whose family is all that could have been chosen.
-- In: the names of queries or tables: candidates (as_one_family), problems (llm_id, problem), looks (statement_looks).
create or replace macro told(candidates, problems, looks) as table (
    with differing as (
        select
            *,
            "table" || '|' || case "table" when 'prompt_against_rest' then concat_ws('|', unit, prompt_type) else unit end as fact
        from query_table(candidates)
        where verdict = 'differs' and nearer_end > 0
    ),

    -- of all who show one fact, the one that shows it most, and who else
    facts as (
        select
            *,
            count(*) over (partition by fact) as n_showing,
            list(llm_id) over (partition by fact, prompt_name, difference > 0 order by nearer_end desc, llm_id rows between unbounded preceding and unbounded following) as showing
        from differing
        qualify row_number() over (partition by fact order by nearer_end desc, llm_id, other_llm) = 1
    ),

    -- every language model has its clearest fact before one has its second, so that the difference of a close pair is not crowded out
    ranked as (
        select
            *,
            row_number() over (partition by "table", prompt_type, is_answering, llm_id order by nearer_end desc, fact) as place
        from facts
    ),

    chosen as (
        select *
        from ranked
        qualify
            row_number() over (partition by "table", prompt_type, is_answering order by place, nearer_end desc, fact)
            <= case "table"
                when 'approval_differences' then 6
                when 'llm_differences' then 4
                when 'answered_differences' then 3
                when 'prompt_against_rest' then case when is_answering then 1 else 2 end
                else 1
            end
    ),

    -- intervals of what was found hold for what was found: as usual far beyond the threshold, longer towards 0 near it
    stretched as (
        select
            *,
            count(*) over () as n_chosen,
            selected_interval(difference, ci_low, ci_high, p_value, coalesce(p_threshold, 1)) as ends,
            case "table" when 'llm_distances' then 0.5 else 1.0 end as most
        from chosen
    ),

    intervals as (
        select
            * exclude (ci_low, ci_high, ends),
            greatest(-most, ends.low) as ci_low,
            least(most, ends.high) as ci_high,
            -- had all answers decided, with the same uncertainty on either side
            greatest(-most, bound_low - (difference - ends.low)) as at_least,
            least(most, bound_high + (ends.high - difference)) as at_most
        from stretched
    ),

    -- what is not far enough beyond the threshold for its interval to exclude 0 is no headline
    kept as (
        select * from intervals
        where ci_low > 0 or ci_high < 0
    ),

    told as (
        select
            i.*,
            case when i.difference > 0 then 'more' else 'less' end as how,
            i.llm_id as who,
            coalesce(i.only_other, 'the other language models') as rest,
            case "table"
                when 'llm_distances' then printf('AUC %.2f (%.2f to %.2f)', i.value, i.ci_low + 0.5, i.ci_high + 0.5)
                else
                    points_text(i.difference) || ' points (' || points_text(i.ci_low) || ' to ' || points_text(i.ci_high) || ')'
            end as size,
            'q ' || q_text(i.q_value) || ', n = ' || format('{:,}', i.n_statements) || ' statements'
            || case when i.n_groups < i.n_statements then format(' that count as {:,}', i.n_groups) else '' end as evidence,
            case when i.n_prompts > 1 then format(', the same way in {} of {} prompts', i.n_prompts_same, i.n_prompts) else '' end
            || case
                when i.n_wordings > 1 and len(i.holds_under) = 0 then ', not shown in any wording alone'
                when i.n_wordings > 1 and len(i.holds_under) < i.n_wordings
                    then ', of the wordings alone shown under ' || array_to_string(i.holds_under, ', ') || ' only'
                else ''
            end
            || case when i.may_be_yes_saying then '; not all decided both ways round, so that it may be a tendency to say yes or no' else '' end
            || case
                when i.answers_missing
                    then
                        '; ' || share_text(i.answered) || ' of its answers decide, ' || share_text(i.answered_others)
                        || ' of the others: had all decided, anything from ' || points_text(i.at_least) || ' to '
                        || points_text(i.at_most) || ' points'
                else ''
            end as reservations
        from kept as i
    ),

    differences as (
        select
            'difference' as kind,
            case
                when "table" = 'approval_differences' then who || ' shows ' || how || ' of ' || unit || ' than ' || rest
                when "table" = 'approval_agreement' then who || ' approves of ' || how || ' than ' || rest
                when "table" = 'llm_differences'
                    then upper(left(how, 1)) || substr(how, 2) || ' from ' || who || ' than from ' || rest || ': “' || name || '”'
                when "table" = 'llm_distances' then who || ' and ' || other_llm || ' can be told apart by what they say'
                when "table" = 'prompt_against_rest'
                    then
                        'As “' || prompt_name || '”, ' || who || case unit
                            when 'all statements' then ' approves of ' || how
                            when 'refused approvals' then ' refuses to decide ' || how || ' often'
                            when 'incoherent approvals' then ' contradicts itself ' || how || ' often'
                            else ' shows ' || how || ' of ' || unit
                        end || ' than under the other prompts of ' || prompt_type
                when unit = 'incoherent approvals' then who || ' contradicts itself ' || how || ' often than ' || rest
                when unit = 'refused responses' then who || ' refuses to respond ' || how || ' often than ' || rest
                else who || ' refuses to decide ' || how || ' often than ' || rest
            end as title,
            case
                when "table" = 'llm_distances'
                    then
                        size || ' of guessing who wrote a response (0.5 is chance), ' || evidence
                        || case
                            when n_showing = 2 then '; so can one other pair'
                            when n_showing > 2 then format('; so can {} other pairs', n_showing - 1)
                            else ''
                        end
                else
                    share_text(value) || ' against ' || share_text(others)
                    || case
                        when "table" = 'llm_differences' or unit = 'refused responses' then ' of responses'
                        when unit = 'incoherent approvals' then ' of pairs of answers to one statement in two wordings'
                        else ' of answers'
                    end
                    || ': ' || size || ', ' || evidence || reservations
                    || case
                        when "table" = 'prompt_against_rest' and len(showing) > 1
                            then '; likewise ' || array_to_string(list_slice(list_filter(showing, lambda x: x <> llm_id), 1, 4), ', ')
                        else ''
                    end
            end || '.' as detail,
            "table", unit, llm_id, other_llm, prompt_type, prompt_name, clustering, cluster_id,
            value, others, difference as estimate, ci_low, ci_high, p_value, q_value, difference_shrunk, verdict,
            n_statements, n_groups, n_candidates, n_chosen,
            coalesce(statement_ids, []) as statement_ids,
            row_number() over (
                order by case when ci_low > 0 then ci_low when ci_high < 0 then -ci_high else 0 end desc, fact
            ) as place
        from told
    ),

    warnings as (
        select 'warning' as kind, problem as title, '' as detail, 'answer_problems' as "table", 'answers' as unit, llm_id, row_number() over (order by llm_id) as place
        from query_table(problems)
        union all by name
        select
            'warning' as kind,
            format(
                    'Statements were added {}, and comparisons hold for {}',
                    case count(distinct addition) when 2 then 'once' else format('{} times', count(distinct addition) - 1) end,
                    case getvariable('looks') when 1 then 'one look' else format('{} looks', getvariable('looks')) end
                )
                as title,
            format('Set looks to how often you will have looked in all: --vars ''{{looks: {}}}''.', count(distinct addition)) as detail,
            'statement_looks' as "table",
            'all statements' as unit,
            null as llm_id,
            0 as place
        from query_table(looks)
        having count(distinct addition) > getvariable('looks')
    ),

    -- what is not shown is no claim that there is nothing, unless the whole interval lies within the margin
    distances as (
        select
            *,
            row_number() over (order by value, llm_id, other_llm) as place,
            count(*) over () as n_pairs
        from query_table(candidates)
        where "table" = 'llm_distances'
    ),

    quiet as (
        select
            'none' as kind,
            case verdict
                when 'alike' then 'Single responses hardly tell ' || llm_id || ' from ' || other_llm
                else 'Single responses are not shown to tell ' || llm_id || ' from ' || other_llm
            end as title,
            printf('AUC %.2f (%.2f to %.2f) of guessing who wrote a response (0.5 is chance), q ', value, ci_low + 0.5, ci_high + 0.5)
            || q_text(q_value) || format(', n = {:,} statements', n_statements)
            || case verdict
                when 'alike' then printf('; alike is an interval that ends below %.2f.', 0.5 + getvariable('margin')::double)
                else '.'
            end as detail,
            "table", unit, llm_id, other_llm, value, others, difference as estimate, ci_low, ci_high, p_value, q_value, verdict,
            n_statements, n_groups, n_candidates,
            1 as place
        from distances as d
        where
            place = 1 and verdict <> 'differs'
            -- what they say in one cluster may differ all the same: then that is said, and this is not
            and not exists (select 1 from kept as k where k."table" = 'llm_differences' and k.llm_id in (d.llm_id, d.other_llm))
        union all by name
        select
            'none' as kind,
            case
                when count(*) filter (where verdict = 'differs') > 0 then 'Something differs, but how much is not known'
                else 'No difference is shown'
            end as title,
            case
                when count(*) filter (where verdict = 'differs') > 0
                    then
                        format(
                            '{:,} of {:,} comparisons differ at a false discovery rate of {} (smallest q-value ',
                            count(*) filter (where verdict = 'differs'), count(*), getvariable('fdr')
                        )
                        || printf('%.3f', min(q_value)) || '), but there are too few statements for an interval that allows for the choice: ask more.'
                else
                    format('Of {:,} comparisons none is shown at a false discovery rate of {}; the smallest q-value is ', count(*), getvariable('fdr'))
                    || printf('%.3f', min(q_value)) || '.'
            end as detail,
            'finding_candidates' as "table",
            'all' as unit,
            min(q_value) as q_value,
            case when count(*) filter (where verdict = 'differs') > 0 then 'differs' else 'not shown' end as verdict,
            count(*) as n_candidates,
            0 as place
        from query_table(candidates)
        having count(*) > 0 and (select count(*) from kept) = 0
    ),

    every as (
        select * from warnings
        union all by name
        select * from differences
        union all by name
        select * from quiet
    ),

    final as (
        select
            row_number() over (
                order by case kind when 'warning' then 1 when 'difference' then 2 else 3 end, place, title
            ) as position,
            kind, title, detail,
            trim(rtrim(title, '.') || '. ' || detail) as "text",
            "table",
            to_json({
                unit: unit, llm_id: llm_id, other_llm: other_llm, prompt_type: prompt_type, prompt_name: prompt_name,
                clustering: clustering, cluster_id: cluster_id
            }) as key,
            list_filter([llm_id, other_llm], lambda x: x is not null) as llm_ids,
            value, others, estimate, ci_low, ci_high, p_value, q_value, difference_shrunk, verdict,
            n_statements, n_groups, n_candidates,
            coalesce(statement_ids, []) as statement_ids,
            case
                when "table" in ('llm_differences', 'llm_distances') then 'compare'
                when kind = 'warning' or unit = 'refused responses' then 'runs'
                else 'approvals'
            end as page,
            case
                when "table" in ('llm_differences', 'llm_distances')
                    then to_json(map_from_entries(list_filter(
                        [row('a', llm_id), row('b', other_llm), row('clustering', clustering), row('cluster', cluster_id::varchar)], lambda x: x[2] is not null
                    )))
                when prompt_type is not null then to_json(map { 'prompts': prompt_type })
            end as link
        from every
    )

    select * from final
    order by position
)
