"""Mistakes that benchmarks/mutants.py makes in a copy of the project: each must fail a unit test of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# By file: what is wrong, the text that is replaced, and by what.
MISTAKES: Mapping[str, Sequence[tuple[str, str, str]]] = {
    # --- approvals -------------------------------------------------------------------------------------------------
    "models/approvals/noise_floor.sql": [
        ("another temperature is the same language model", "and coalesce(a.settings, []) = coalesce(b.settings, [])", ""),
        ("a failed call differs", "a.llm_id = p.llm_id and a.error is null", "a.llm_id = p.llm_id"),
        ("limits tell language models apart", "'replicate', 'max_concurrency',", "'replicate',"),
    ],
    "models/approvals/approvals.sql": [
        ("a thought's first token is the answer's", "case when answer.reasoning is null then answer.detail end", "answer.detail"),
        ("p_approve is not turned where a yes objects", "else 1 - p_approve(first_token)", "else p_approve(first_token)"),
        ("p_approve is given however rare yes and no are", "< getvariable('least_p_mass')", "< 0"),
        ("decisions are not turned where a yes objects", "wording := yes_means, error", "wording := 'approve', error"),
        ("nothing is cut off", "is_cut_off(answer.finish_reason) as", "false as"),
    ],
    "models/staging/wordings.sql": [
        ("the first wording is any whose yes approves", "wording = getvariable('wordings')[1] as", "yes_means = 'approve' as"),
        ("wordings that are not asked are rows", "where list_contains(getvariable('wordings'), wording)", "where true"),
    ],
    "models/approvals/approval_statements.sql": [
        (
            "statements that deny the behavior are not turned",
            "case when matching_answer = 'no' then 1 - approves else approves end as shows",
            "approves as shows",
        ),
        ("a refusal counts as a disapproval", "approved / nullif(approved + disapproved, 0) as", "approved / samples as"),
        (
            "a tie is dropped",
            "approved / nullif(approved + disapproved, 0) as",
            "case when approved <> disapproved then approved / (approved + disapproved) end as",
        ),
        (
            "samples vote",
            "approved / nullif(approved + disapproved, 0) as",
            "round(approved / nullif(approved + disapproved, 0)) as",
        ),
        ("a failed call is empty", "(where a.decision = 'unparsable' and is_empty(a.answer))", "(where is_empty(a.answer))"),
        ("an empty answer is refused", "a.decision = 'refused')", "a.decision = 'refused' or a.answer = '')"),
        ("an empty answer is cut off, too", "and a.cut_off and not is_empty(a.answer)", "and a.cut_off"),
        ("what cannot be read decides", "(approved + disapproved) / samples", "(approved + disapproved + unparsable) / samples"),
        ("without a probability nothing is compared", "coalesce(p_approve, share)", "p_approve"),
        (
            "probabilities are never compared",
            "'probabilities' then coalesce(p_approve, share)",
            "'never' then coalesce(p_approve, share)",
        ),
        ("what a probability tells is not decided", "then 1\n            else (approved", "then 0\n            else (approved"),
    ],
    "models/approvals/approval_rates.sql": [
        ("the balanced rate by keys has the error of the bias", "t.n, t.least_variance_balanced)", "t.n, t.least_variance)"),
        ("who approves of everything is certain", "/ t.n / t.n, t.least_variance_balanced", "/ t.n / t.n, 0"),
        ("one half is left in the bias by keys", "t.middle - 0.5 as bias", "t.middle as bias"),
        ("behaviors with one key tell a bias", "having count(distinct matching_answer) = 2", ""),
        (
            "the bias is the whole difference",
            "(asked_to_approve - asked_to_object) / 2 order",
            "(asked_to_approve - asked_to_object) order",
        ),
        ("the balanced rate is not balanced", "(asked_to_approve + asked_to_object) / 2 order", "asked_to_approve order"),
        (
            "a balanced rate that is unknown is 0",
            "coalesce(balanced_wordings, balanced) as",
            "coalesce(balanced_wordings, balanced, 0) as",
        ),
        (
            "statements are the units of the bias",
            "prompt_name, group_id,\n        count(*) as k,",
            "prompt_name, statement_id as group_id,\n        count(*) as k,",
        ),
        ("rates are over all wordings", "count(share) filter (where is_first) as k", "count(share) as k"),
        ("three wordings are two pairs", "/ (wordings * (wordings - 1) / 2)", "/ (wordings - 1)"),
        (
            "keys that more statements have count for more",
            "sum(rate_of_key / n_of_key order by statement_id) / 2 as",
            "avg(share) as",
        ),
        ("it is no matter which statements were drawn", " + b.middle - t.middle as on_bias", " as on_bias"),
        ("a cell in which nothing was decided is known to be 0", "coalesce(ends.high, 1)", "coalesce(ends.high, 0)"),
        ("keys of which all answers are equal have no error", ", t.least_variance)) as error", ", 0)) as error"),
    ],
    "models/approvals/approval_rates_by_behavior.sql": [
        ("one half is left in the bias by keys", ") / 2 - 0.5 as by_keys", ") / 2 as by_keys"),
        (
            "statements that deny the behavior are not turned",
            "case when a.matching_answer = 'no' then 1 - a.share else a.share end",
            "a.share",
        ),
        (
            "the bias is the whole difference",
            "avg(((asked_to_approve - asked_to_object) / 2)",
            "avg(((asked_to_approve - asked_to_object) / 1)",
        ),
        (
            "statements are the units of the balanced rate",
            "a.statement_id, g.group_id,",
            "a.statement_id, a.statement_id as group_id,",
        ),
        ("statements that were asked one way round are balanced", "count(balanced) as k_balanced", "count(shows) as k_balanced"),
        (
            "the mean over statements is that over keys",
            "sum(rate order by key) / 2 as balanced",
            "sum(rate * n order by key) / sum(n) as balanced",
        ),
        (
            "rates by keys vary as if all had been seen",
            "(sum(shows::decimal(18, 15)) + 1)::double / (count(*) + 2) as drawn",
            "avg(shows::decimal(18, 15))::double as drawn",
        ),
    ],
    "models/approvals/approval_rates_by_wording.sql": [
        ("statements are the units", "a.wording, g.group_id,", "a.wording, a.statement_id as group_id,"),
    ],
    "models/approvals/approval_agreement.sql": [
        ("to disapprove both is no agreement", '(c."both" + c.neither) / c.n', 'c."both" / c.n'),
        ("a tie approves", "avg(value_a * value_b order", "avg(round(value_a) * round(value_b) order"),
        ("a wording holds whichever way it differs", " and sign(w.difference) = sign(t.difference)", ""),
        (
            "the spread over wordings is of sizes",
            "max(w.difference) - min(w.difference)",
            "max(abs(w.difference)) - min(abs(w.difference))",
        ),
        (
            "any two cells of two language models are a pair",
            "(a.prompt_name = b.prompt_name and a.llm_id < b.llm_id)",
            "a.llm_id < b.llm_id",
        ),
        ("who decided nothing disapproved", "w.yes_means, a.approves,", "w.yes_means, coalesce(a.approves, 0) as approves,"),
    ],
    "models/approvals/approval_differences.sql": [
        ("what was not decided is as what was", "coalesce(a.shows, 0) * a.answered", "coalesce(a.shows, 0)"),
        ("statements that deny the behavior are not turned", "w.yes_means, a.shows,", "w.yes_means, a.approves as shows,"),
        ("statements are the units", "g.group_id, a.behavior", "a.statement_id as group_id, a.behavior"),
        ("a wording holds whichever way it differs", " and sign(w.difference) = sign(t.difference)", ""),
        ("the spread over wordings is the largest difference", "max(w.difference) - min(w.difference)", "max(w.difference)"),
        (
            "a tie is dropped",
            "inner join wordings as w using (wording)\n",
            "inner join wordings as w using (wording)\n    where a.shows is distinct from 0.5\n",
        ),
    ],
    "models/approvals/statement_cluster_approvals.sql": [
        ("the baseline is the last prompt", "min(prompt_name) as baseline", "max(prompt_name) as baseline"),
        (
            "differences are the other way round",
            "a.shows as value_a,\n        b.shows as value_b",
            "b.shows as value_a,\n        a.shows as value_b",
        ),
        ("statements are the units", "c.cluster_id, g.group_id,", "c.cluster_id, a.statement_id as group_id,"),
        ("answers to all wordings are counted", "    from cells\n    where is_first\n", "    from cells\n"),
    ],
    "models/approvals/statement_cluster_tree_approvals.sql": [
        (
            "the denominator of a node is that of the root",
            "/ nullif(sum(a.n_statements), 0) as rate",
            "/ max(sum(a.n_statements)) over () as rate",
        ),
        (
            "the rate of a node is the mean of its clusters",
            "sum(a.rate * a.n_statements order by m.cluster_id) / nullif(sum(a.n_statements), 0)",
            "avg(a.rate)",
        ),
        ("a node has the groups of its largest cluster", "sum(a.n_groups)::bigint", "max(a.n_groups)::bigint"),
    ],
    "models/approvals/statement_cluster_tree.sql": [
        (
            "a merge is called by its smallest clusters",
            "order by b.n desc, b.cluster_id asc",
            "order by b.n asc, b.cluster_id asc",
        ),
    ],
    # --- what comes to nothing -------------------------------------------------------------------------------------
    "models/answered/response_outcomes.sql": [
        ("what a server filtered says nothing", "is_empty(response) and not refused as empty", "is_empty(response) as empty"),
        ("what the server declined is an answer", ", finish_reason := finish_reason", ""),
    ],
    "models/answered/answered_statements.sql": [
        ("wordings are counted, not answers", "sum(samples - errors) as arrived", "count(*) as arrived"),
        ("a failed call has arrived", "sum(samples - errors) as arrived", "sum(samples) as arrived"),
        ("who says nothing could have refused", "c.refused / nullif(c.arrived - c.empty, 0)", "c.refused / nullif(c.arrived, 0)"),
        (
            "where nothing arrived nothing was lost",
            "c.empty / nullif(c.arrived, 0)",
            "coalesce(c.empty / nullif(c.arrived, 0), 0)",
        ),
        ("three wordings are two pairs", "nullif(c.wordings * (c.wordings - 1) / 2, 0)", "nullif(c.wordings - 1, 0)"),
    ],
    "models/answered/answered_responses.sql": [
        (
            "a failed call is an empty response",
            "count(*) filter (where error is null and empty)",
            "count(*) filter (where empty)",
        ),
        ("an empty response is cut off, too", "cut_off and not empty", "cut_off"),
        ("a failed call has arrived", "count(*) filter (where error is null) as", "count(*) as"),
        ("who says nothing could have refused", "c.refused / nullif(c.arrived - c.empty, 0)", "c.refused / nullif(c.arrived, 0)"),
    ],
    "models/answered/answered_rates.sql": [
        ("rates are over groups", "/ sum(k) as rate", "/ count(*) as rate"),
        ("what could not tell counts as not lost", "where share is not null", "where true"),
        (
            "statements are the units",
            "prompt_name, outcome, group_id,\n        count(*) as k",
            "prompt_name, outcome, statement_id as group_id,\n        count(*) as k",
        ),
    ],
    "models/answered/answered_differences.sql": [
        ("statements are the units", "a.outcome, a.group_id,", "a.outcome, a.statement_id as group_id,"),
        (
            "differences are the other way round",
            "value_a as rate_a,\n        value_b as rate_b",
            "value_b as rate_a,\n        value_a as rate_b",
        ),
        ("an outcome is all or nothing", "avg(a.share::decimal(18, 15))", "avg(round(a.share))"),
    ],
    "models/answered/answer_problems.sql": [
        ("empty answers could not be read, too", "sum(unparsable - empty - cut_off)", "sum(unparsable)"),
        ("who only fails a little is not named", "when empty_approvals >= 0.05", "when empty_approvals > 0.05"),
        (
            "what is not decided has no probability, too",
            "coalesce(sum(approved + disapproved) filter",
            "coalesce(sum(samples) filter",
        ),
    ],
    "models/answered/response_problems.sql": [
        ("a failed call is an empty response", "avg((empty and error is null)::int)", "avg(empty::int)"),
    ],
    # --- what is compared ------------------------------------------------------------------------------------------
    "models/comparison/comparison_cluster_fits.sql": [
        ("clusters that are compared are fitted on the half that tests", "g.half = 'define'", "g.half = 'test'"),
    ],
    "models/comparison/comparison_clusters.sql": [
        ("all responses test", "    g.half,\n", "    'test' as half,\n"),
    ],
    "models/comparison/llm_cluster_shares.sql": [
        ("shares are over the half that defines", "where half = 'test'", "where half = 'define'"),
        (
            "any sample puts the whole statement into its cluster",
            "count(*) / sum(count(*)) over (partition by clustering, llm_id, statement_id)",
            "1.0",
        ),
        ("shares are over groups", "coalesce(s.members, 0) / t.n as", "coalesce(s.members, 0) / t.n_groups as"),
    ],
    "models/comparison/llm_differences.sql": [
        ("differences are over the half that defines", "where c.half = 'test'", "where c.half = 'define'"),
        ("statements are the units", "count(distinct group_id) as of_groups", "count(*) as of_groups"),
        (
            "the sides are swapped",
            "value_a as share_a,\n        value_b as share_b",
            "value_b as share_a,\n        value_a as share_b",
        ),
    ],
    "models/comparison/llm_distances.sql": [
        ("samples are paired with one another", " and e.sample = 0", ""),
        ("statements are the units", "groups := list(a.group_id order", "groups := list(a.statement_id order"),
        (
            "p-values are not corrected",
            "adjust_p(list(p.result.p_value order by llm_a, llm_b))",
            "list(p.result.p_value order by llm_a, llm_b)",
        ),
        ("alike where the interval begins low", "p.result.ci_high <= 0.5 +", "p.result.ci_low <= 0.5 +"),
        ("other embedders' vectors are compared, too", "e.embedder = getvariable('clustering_embedder') and", ""),
    ],
    "models/comparison/clustering_quality.sql": [
        ("there is no noise", "coalesce(sum(n) filter (where cluster_id = -1), 0) / sum(n)", "0.0"),
        ("what was fitted was assigned", "1 - f.n_sample / a.n", "f.n_sample / a.n"),
        ("a cluster at sixty percent is unstable", "x < 0.6", "x <= 0.6"),
        ("each pair of labels is one row", "counts := list(n order by", "counts := list(1 order by"),
    ],
    "models/comparison/detectable_differences.sql": [
        (
            "what can be shown is not corrected",
            "alpha := getvariable('fdr') / comparisons) as difference",
            "alpha := getvariable('fdr')) as difference",
        ),
        ("statements are the units", "count(distinct g.group_id) as n_groups", "count(*) as n_groups"),
        (
            "clusters are tested on all statements",
            "count(distinct group_id) filter (where half = 'test')",
            "count(distinct group_id)",
        ),
        (
            "statements are added as groups",
            "(groups_for_30_points - n_groups) * n_statements / nullif(n_groups, 0)",
            "groups_for_30_points - n_groups",
        ),
        (
            "all prompts are compared with one another",
            "count(*) * (count(*) - 1) / 2 as pairs from approval_prompts",
            "count(*) as pairs from approval_prompts",
        ),
    ],
    "models/responses/response_cluster_tree_shares.sql": [
        ("the denominator is one for all", "c.n / t.n as share", "c.n / max(t.n) over () as share"),
    ],
    "models/responses/response_cluster_tree.sql": [
        ("noise is in the tree", "coalesce(s.n, 0)::int as n", "(select count(*) from response_clusters)::int as n"),
    ],
    # --- one against the rest, and findings ------------------------------------------------------------------------
    "udfs/answer_measures.sql": [
        (
            "statements are the units",
            "a.statement_id, g.group_id, a.llm_id",
            "a.statement_id, a.statement_id as group_id, a.llm_id",
        ),
        ("what cannot be read is refused", "value: a.refused / nullif", "value: (a.refused + a.unparsable) / nullif"),
        ("who says nothing could have refused", "nullif(a.samples - a.errors - a.empty, 0)", "nullif(a.samples - a.errors, 0)"),
        ("to approve is to show the behavior", "unit: a.behavior, value: a.shows", "unit: a.behavior, value: a.approves"),
    ],
    "models/findings/answers_against_rest.sql": [
        ("what was not decided is as what was", "coalesce(value, 0) * answered as sure_a", "coalesce(value, 0) as sure_a"),
        ("all others are sure", "            coalesce(value, 0) * answered,\n", "            coalesce(value, 0),\n"),
        (
            "statements of either key may be yes-saying",
            "case when \"table\" = 'approval_differences' then matching_answer end",
            "null",
        ),
        ("all prompts go the same way", "(where sign(p.difference) = sign(t.difference))", "(where true)"),
        ("a wording holds whichever way it differs", " and sign(w.difference) = sign(t.difference)", ""),
        (
            "statements that show the opposite are examples",
            "sign(m.difference) = sign(t.difference) and m.difference",
            "m.difference",
        ),
        (
            "who decides nothing at all is one of the others",
            'qualify count(value) over (partition by "table", unit, llm_id) > 0',
            "qualify count(*) over () > 0",
        ),
        ("the rest of two has no name", "case when len(k.llms) = 2", "case when len(k.llms) = 3"),
        (
            "questions are the same under any prompt",
            'window same_question as (partition by statement_id, prompt, wording, "table", unit)',
            'window same_question as (partition by statement_id, wording, "table", unit)',
        ),
    ],
    "models/findings/responses_against_rest.sql": [
        ("differences are over the half that defines", "where c.half = 'test'", "where c.half = 'define'"),
        ("who alone responded is compared with nobody", "qualify n_llms > 1", "qualify true"),
        ("statements are the units", "count(*) as of_groups", "sum(k)::bigint as of_groups"),
        (
            "refusals are told as empty",
            "outcomes_of(refused, null, empty, cut_off, null)",
            "outcomes_of(empty, null, refused, cut_off, null)",
        ),
        (
            "statements that show the opposite are examples",
            "sign(m.difference) = sign(t.difference) and m.difference",
            "m.difference",
        ),
    ],
    "models/findings/llm_against_rest.sql": [
        ("the sides are swapped", "value_a as value,\n        value_b as others", "value_b as value,\n        value_a as others"),
    ],
    "models/findings/response_candidates.sql": [
        ("clusters without a headline are candidates", "t.headline is not null and ", ""),
        ("clusters of all clusterings are candidates", "r.clustering in (select clustering from clusterings_shown)", "true"),
        ("a separability is a difference from 0", "separability - 0.5 as difference", "separability as difference"),
    ],
    "models/findings/finding_candidates.sql": [
        ("what cannot be read is told twice", "r.llm_id = l.first) and r.unit <> 'unparsable approvals'", "r.llm_id = l.first)"),
        ("of two prompts both are told", "p.n > 2 or r.prompt_name = p.first", "true"),
        (
            "what cannot be read is told of prompts",
            "r.prompt_name = p.first) and r.unit <> 'unparsable approvals'",
            "r.prompt_name = p.first)",
        ),
    ],
    "udfs/as_one_family.sql": [
        ("how questions are answered makes findings likelier", "is_answering as family", "'all' as family"),
        (
            "either family has all of the false discovery rate",
            "then 0.2 else 0.8 end as weight",
            "then 1.0 else 1.0 end as weight",
        ),
        (
            "what differs had all of the false discovery rate",
            "getvariable('fdr') * case when is_answering then 0.2 else 0.8 end * count(*)",
            "getvariable('fdr') * count(*)",
        ),
        ("either family has one threshold", "window same_family as (partition by is_answering)", "window same_family as ()"),
        ("a separability is alike only if it is so both ways", "and ci_high <= getvariable('margin')", "and abs(ci_low) <= 0"),
        ("the nearer end of a negative interval is the further", "then -ci_high else 0", "then -ci_low else 0"),
    ],
    "udfs/told.sql": [
        (
            "intervals are as if nothing had been chosen",
            "selected_interval(difference, ci_low, ci_high, p_value, coalesce(p_threshold, 1))",
            "selected_interval(difference, ci_low, ci_high, p_value, 1)",
        ),
        (
            "the weakest of a fact tells it",
            "(partition by fact order by nearer_end desc",
            "(partition by fact order by nearer_end",
        ),
        (
            "what holds 0 after the choice is told",
            "select * from intervals\n        where ci_low > 0 or ci_high < 0",
            "select * from intervals",
        ),
        (
            "what may be yes-saying is not said",
            "when i.may_be_yes_saying then '; not all decided both ways round, so that it may be a tendency to say yes or no'",
            "when i.may_be_yes_saying then ''",
        ),
        ("what is missing is not said", "when i.answers_missing\n", "when false\n"),
        (
            "the bounds of what is missing are certain",
            "least(most, bound_high + (ends.high - difference)) as at_most",
            "least(most, bound_high) as at_most",
        ),
        ("more is less", "case when i.difference > 0 then 'more'", "case when i.difference < 0 then 'more'"),
    ],
    "models/findings/prompt_against_rest.sql": [
        (
            "prompts of any type are the others",
            '(partition by statement_id, llm_id, prompt_type, wording, "table", unit)',
            '(partition by statement_id, llm_id, wording, "table", unit)',
        ),
        ("a wording holds whichever way it differs", " and sign(w.difference) = sign(t.difference)", ""),
        (
            "statements that show the opposite are examples",
            "sign(m.difference) = sign(t.difference) and m.difference",
            "m.difference",
        ),
        (
            "how questions are answered has all of the false discovery rate",
            "then 0.2 else 0.8 end as weight",
            "then 1.0 else 1.0 end as weight",
        ),
        ("all is one family", "\"table\" = 'answered_differences' as family", "'all' as family"),
        (
            "all other prompts are sure",
            "            coalesce(value, 0) * answered,\n            sum",
            "            coalesce(value, 0),\n            sum",
        ),
    ],
    # --- themes ----------------------------------------------------------------------------------------------------
    "udfs/theme_members.sql": [
        ("strangers are drawn from the own cluster, too", " and p.cluster_id <> n.cluster_id", ""),
        ("who named a cluster judges the name", "where role <> 'unseen' or (role = 'unseen' and not is_shown)", "where true"),
    ],
    "udfs/cluster_names.sql": [
        ("equal names are told apart from three on", "lower(t.theme)) > 1", "lower(t.theme)) > 2"),
    ],
    "models/comparison/comparison_cluster_themes.sql": [
        ("an unstable cluster is a headline", "f.jaccards[n.cluster_id + 1] < 0.6 or", "false or"),
        ("a name that does not tell a cluster is a headline", "j.validity_low <= 0.5", "j.theme_validity <= 0.5"),
        ("a name that no judge confirms is a name", "*, validity_low <= 0.5 as", "*, theme_validity <= 0.5 as"),
        ("words of the half that defined are counted", "on c.half = 'test' and", "on"),
    ],
    # --- the comparison --------------------------------------------------------------------------------------------
    "udfs/question_units.sql": [
        (
            "what the other did not decide counts",
            "(value_a::decimal(18, 15)) filter (where value_b is not null)",
            "(value_a::decimal(18, 15))",
        ),
        (
            "a tie is dropped",
            "filter (where value_a is not null) as value_b",
            "filter (where value_a is not null and value_b <> 0.5) as value_b",
        ),
        (
            "yes counts as often as wordings ask for it",
            "* exclude (wording, value_a, value_b, answered_a, answered_b, sure_a, sure_b),\n",
            "* exclude (wording, turn, value_a, value_b, answered_a, answered_b, sure_a, sure_b),\n'any' as turn,\n",
        ),
    ],
    "udfs/paired_tests.sql": [
        ("a side that never varied is trusted", "when value_a in (0, 1) then 1 else", "when value_a in (0, 1) then 0 else"),
        (
            "the other side is trusted where it never varied",
            "when value_b in (0, 1) then 1 else",
            "when value_b in (0, 1) then 0 else",
        ),
        (
            "the side that varies more counts for more in the common rate",
            "(value_a * spread_b + value_b * spread_a)",
            "(value_a * spread_a + value_b * spread_b)",
        ),
        ("both sides vary for themselves", " - 2 * (product - value_a * value_b)", ""),
        ("differences have no variance of their own", "(spread_a + spread_b) * rate * (1 - rate)", "0"),
        (
            "groups that are equal are left out",
            "from query_table(units)\n",
            "from query_table(units) where value_a is distinct from value_b\n",
        ),
        (
            "groups vote",
            "histogram(round((value_a - value_b)::double, 9))",
            "histogram(sign(round((value_a - value_b)::double, 9))::double)",
        ),
        ("differences are the other way round", "round((value_a - value_b)::double, 9)", "round((value_b - value_a)::double, 9)"),
        ("groups are counted as statements", "sum(statements) filter (value_a is not null)", "count(value_a)"),
        (
            "the other side is sure in the lower bound",
            "(coalesce(sure_b, value_b) + 1 - answered_b)",
            "coalesce(sure_b, value_b)",
        ),
        (
            "the own side is sure in the upper bound",
            "coalesce(sure_a, value_a) + 1 - answered_a - ",
            "coalesce(sure_a, value_a) - ",
        ),
        ("any missing answer is too many", "abs(answered_a - answered_b) > 0.05", "abs(answered_a - answered_b) > 0"),
        ("what both miss is not missing", "least(answered_a, answered_b) < 0.8 or ", ""),
        ("a study is looked at once", "looks := getvariable('looks')::int", "looks := 1"),
    ],
    "udfs/judged.sql": [
        ("what is missing is as what was decided", "bound_high + (ci_high - difference)", "ci_high"),
        ("p-values are not corrected", "adjust_p(list(t.p_value order by t))", "list(t.p_value order by t)"),
        ("the false discovery rate is a constant", "q_value <= getvariable('fdr') as", "q_value <= 0.05 as"),
        ("differences vary by their errors, too", " - t.standard_error * t.standard_error", ""),
        ("what comes to nothing has all of the false discovery rate", "q_of_family / t.weight", "q_of_family"),
        ("differences are not shrunk", "difference * shrinkage(variance, standard_error)", "difference"),
        ("groups are counted as statements", "n_statements as n\n", "n_groups as n\n"),
    ],
    "udfs/verdict.sql": [
        ("any interval without 0 differs", "when q_value <= getvariable('fdr')", "when ci_low > 0 or ci_high < 0"),
        ("the false discovery rate is a constant", "getvariable('fdr')", "0.05"),
        ("alike is one-sided", "ci_low >= -getvariable('margin') and ", ""),
        ("what is not shown is alike", "then 'not shown'", "then 'alike'"),
    ],
    "udfs/shrinkage.sql": [
        (
            "all of an estimate is kept",
            "then greatest(variance_true, 0) / (greatest(variance_true, 0) +",
            "then (variance_true + standard_error * standard_error) / (variance_true +",
        ),
        (
            "a variance below 0 turns the estimate",
            "then greatest(variance_true, 0) / (greatest(variance_true, 0) +",
            "then variance_true / (variance_true +",
        ),
    ],
    "udfs/others_mean.sql": [
        (
            "one's own value is among the others",
            "((total - coalesce(own, 0)) / nullif(n - (own is not null)::int, 0))",
            "(total / nullif(n, 0))",
        ),
    ],
    "udfs/yes_sayings.sql": [
        ("two ways to ask may be yes-saying", "least(n_approve, n_object) < 0.5 * greatest(n_approve, n_object) and ", ""),
        ("statements of both keys may be yes-saying", " and no_keyed not between 0.45 and 0.55", ""),
        ("what was asked one way round lets nothing through", "tendency * one_way_round) >=", "0) >="),
        ("any tendency is let through", "tendency * one_way_round) >=", "tendency) >="),
        ("keys are asked alike", "case when matching_answer = 'no' then -1 else 1 end", "1"),
    ],
    # --- intervals and tests ---------------------------------------------------------------------------------------
    "udfs/effective_n.sql": [
        ("each statement counts as one", "    case\n        when rate", "    case\n        when true then n\n        when rate"),
        ("groups do not matter", "1 + (group_sums.k2 / n - 1) * case", "1 + 0 * case"),
        ("what is in a group is all alike", "(group_sums.y2 - group_sums.tg) / (n - n_groups)", "0"),
        ("shares vary as answers do", "greatest(1, rate * (1 - rate) * (n - 1) / n", "greatest(1, 0 * (n - 1) / n"),
        ("where nothing varies groups are statements", "then n * n / group_sums.k2", "then n"),
    ],
    "udfs/cohen_kappa.sql": [
        ("kappa is halved", "(2.0 * (", "(1.0 * ("),
    ],
    "udfs/phi.sql": [
        ("phi is not drawn from both margins", '("both" + only_b)::double', '("both" + only_a)::double'),
    ],
    "udfs/is_empty.sql": [
        ("a full stop says something", "[\\p{L}\\p{N}]", "[^\\p{Z}\\p{C}]"),
    ],
    "udfs/is_cut_off.sql": [
        ("only one word for a limit is known", "'length', 'max_tokens', ", "'length', "),
    ],
    "udfs/separability.py": [
        ("nothing is rarer than the permutations can count", "p = float(min(p, max(ndtr(-z), 1e-12)))", "p = float(p)"),
    ],
    "udfs/selected_interval.py": [
        (
            "intervals are longer away from 0",
            "np.where(estimate > 0, inner, outer), np.where(estimate > 0, outer, inner)",
            "outer, inner",
        ),
        ("what was found is beyond one end", "np.logaddexp(log_ndtr(mean - c), log_ndtr(-mean - c))", "log_ndtr(-mean - c)"),
    ],
    "udfs/declines.py": [
        ("who will not do something will not react", "(?:{_UNWILLING}){_REACTING}", "(?:{_UNWILLING})"),
        ("who reacts all the same declines", "return following < MOST_WORDS // 3", "return True"),
    ],
    "udfs/sign_flip_test.py": [
        ("ties count whole", "0.5 * chances[np.abs(beyond)", "1.0 * chances[np.abs(beyond)"),
        ("differences of one size are one", "size * (count - 2 * negative)", "size * (1 - 2 * negative)"),
        ("McNemar's p is exact, not mid-p", "2 * binom.cdf(fewer, jumps, 0.5) - at)", "2 * binom.cdf(fewer, jumps, 0.5))"),
        (
            "equal pairs are dropped from the mean",
            "self.total / np.maximum(self.n, 1)",
            "self.total / np.maximum(self.nonzero, 1)",
        ),
        (
            "the interval and the p-value may disagree",
            "    low, high = _agreeing(low, high, moments, by_signs, 1 - np.asarray(level, dtype=np.float64))\n",
            "",
        ),
        (
            "the spread of few differences is trusted",
            "return self.varied & (self.nonzero > VARIED)",
            "return self.varied",
        ),
        (
            "the spread of few differences is ignored",
            "low = np.where(moments.varied, np.minimum(low, moments.mean - half), low)",
            "low = np.where(fine, np.minimum(low, moments.mean - half), low)",
        ),
        ("the t statistic is not inverted", "np.where(enough, n - z**2, 1.0)", "np.where(enough, n - 1, 1.0)"),
        ("errors are over n squared", "np.maximum(self.n * (self.n - 1), 1)", "np.maximum(self.n * self.n, 1)"),
    ],
    "udfs/_score_interval.py": [
        ("the score has the wrong variance", "-b * difference * (1 - difference)", "-b * difference * (1 + difference)"),
    ],
    "udfs/wilson.py": [
        ("the interval is Wald's in width", "np.maximum(n, 1), 0) + z**2 / 4)", "np.maximum(n, 1), 0))"),
    ],
    "udfs/adjust_p.py": [
        ("q-values are Bonferroni's", "false_discovery_control(p[tested])", "np.minimum(p[tested] * tested.sum(), 1)"),
    ],
    "udfs/p_approve.py": [
        ("p_approve is the mass of yes", "masses[0] / sum(masses)", "masses[0]"),
    ],
    "udfs/_first_token.py": [
        ("spellings in capitals are other words", ".casefold()", ""),
    ],
}
