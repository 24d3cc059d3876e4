"""The SQL under every chart and table, as text that can be pasted into ``bclust sql``.

Each function returns one query over the tables of the warehouse. Values are written as literals, so that what is shown is
what ran. ``kind`` is ``response`` or ``statement``, which names the tables.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from reports._warehouse import literal, literals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports._warehouse import Warehouse

# Above MAP_LIMIT points a map shows MAP_SAMPLE of them, unless asked for all; above RASTER_LIMIT it is drawn as a raster.
MAP_LIMIT, MAP_SAMPLE, RASTER_LIMIT = 50_000, 20_000, 100_000
THEME_COLUMNS = {
    "response": ("response_theme", "interaction_theme", "statement_theme"),
    "statement": ("statement_theme", "interaction_theme", "response_theme"),
}
DECISIONS = {
    "approved": "approved",
    "disapproved": "disapproved",
    "refused": "refused",
    "unparsable": "unparsable",
    "errors": "error",
}


def _sql(text: str) -> str:
    """SQL as it stands in this file, without its indentation and empty lines (a literal is always on one line)."""
    return "\n".join(line.rstrip() for line in textwrap.dedent(text).split("\n") if line.strip())


def _contains(column: str, search: str) -> str:
    return f"contains(lower({column}), {literal(search.lower())})"


# --- clusters --------------------------------------------------------------------------------------------------


def cluster_names(warehouse: Warehouse, kind: str, clustering: str) -> str:
    """Each cluster with a name to show (cluster_id, n, label): its theme, its words or its number; noise is left out."""
    themes = f"{kind}_cluster_themes"
    if not warehouse.has(themes):
        return _sql(f"""
            select cluster_id, count(*) as n, 'cluster ' || cluster_id as label
            from {kind}_clusters
            where clustering = {literal(clustering)} and cluster_id >= 0
            group by cluster_id
            order by cluster_id
        """)
    names = "".join(f"nullif(trim({c}), ''), " for c in THEME_COLUMNS[kind])
    return _sql(f"""
        select cluster_id, n, coalesce({names}'cluster ' || cluster_id) as label
        from {themes}
        where clustering = {literal(clustering)} and cluster_id >= 0
        order by cluster_id
    """)


def cluster_table(kind: str, clustering: str) -> str:
    """All that is known of each cluster: themes, validity, stability."""
    return _sql(f"""
        select
            cluster_id, n, statement_theme, response_theme, interaction_theme, theme_source,
            theme_validity, validity_low, validity_high, unconfirmed_theme, stability, theme_error
        from {kind}_cluster_themes
        where clustering = {literal(clustering)}
        order by n desc, cluster_id
    """)


def leaf_shares(clustering: str, llms: Sequence[str]) -> str:
    """The share of each language model's responses in each cluster: the leaves of the tree."""
    return _sql(f"""
        select t.cluster_id, s.llm_id, s.share
        from response_cluster_tree_shares as s
        join response_cluster_tree as t using (clustering, node_id)
        where s.clustering = {literal(clustering)} and t.cluster_id is not null and s.llm_id in {literals(list(llms))}
        order by t.cluster_id, s.llm_id
    """)


def quality(kind: str, clustering: str) -> str:
    """How good a clustering is: silhouette, and agreement with the behaviors."""
    return _sql(f"""
        select *
        from clustering_quality
        where subject = {literal(f"{kind}s")} and clustering = {literal(clustering)}
    """)


def tree(kind: str, clustering: str) -> str:
    """The nodes of a cluster tree."""
    return _sql(f"""
        select node_id, parent_id, cluster_id, height, n, label
        from {kind}_cluster_tree
        where clustering = {literal(clustering)}
        order by node_id
    """)


def tree_approvals(clustering: str, prompt_type: str, llms: Sequence[str]) -> str:
    """The approval rate of every node of the tree under every prompt; of several language models together their mean, weighted
    by the statements that each decided, which has no interval."""
    where = f"clustering = {literal(clustering)} and prompt_type = {literal(prompt_type)} and llm_id in {literals(list(llms))}"
    if len(llms) == 1:
        return _sql(f"""
            select node_id, prompt_name as "column", rate, ci_low, ci_high, n_statements as n
            from statement_cluster_tree_approvals
            where {where}
            order by node_id, prompt_name
        """)
    return _sql(f"""
        select
            node_id, prompt_name as "column",
            sum(rate * n_statements) / nullif(sum(n_statements), 0) as rate,
            null::double as ci_low,
            null::double as ci_high,
            sum(n_statements)::bigint as n
        from statement_cluster_tree_approvals
        where {where}
        group by node_id, prompt_name
        order by node_id, prompt_name
    """)


def tree_shares(clustering: str, llms: Sequence[str]) -> str:
    """How much of what each language model says lies below every node of the tree."""
    return _sql(f"""
        select
            t.node_id, l.llm_id as "column",
            coalesce(s.share, 0) as rate,
            null::double as ci_low,
            null::double as ci_high,
            coalesce(s.n, 0) as n
        from response_cluster_tree as t
        join subjects as l on l.llm_id in {literals(list(llms))}
        left join response_cluster_tree_shares as s using (clustering, node_id, llm_id)
        where t.clustering = {literal(clustering)}
        order by t.node_id, l.llm_id
    """)


def members(kind: str, clustering: str, cluster_ids: Sequence[int], llms: Sequence[str], limit: int = 500) -> str:
    """The texts in some clusters."""
    where = f"c.clustering = {literal(clustering)} and c.cluster_id in {literals(list(cluster_ids))}"
    if kind == "statement":
        return _sql(f"""
            select c.cluster_id, s.statement, s.behavior, c.statement_id
            from statement_clusters as c
            join statements as s using (statement_id)
            where {where}
            order by c.cluster_id, hash(c.statement_id)
            limit {limit}
        """)
    return _sql(f"""
        select c.cluster_id, c.llm_id, s.statement, r.response, s.behavior, c.statement_id
        from response_clusters as c
        join statements as s using (statement_id)
        left join responses as r using (statement_id, llm_id, sample)
        where {where} and c.llm_id in {literals(list(llms))}
        order by c.cluster_id, hash(c.statement_id, c.llm_id)
        limit {limit}
    """)


# --- maps ------------------------------------------------------------------------------------------------------


def response_points(
    clustering: str,
    embedder: str,
    llms: Sequence[str],
    *,
    search: str = "",
    hover: bool = False,
    sample: int | None = None,
    clusters: bool = True,
) -> str:
    """Responses on the map, ordered by a hash of their keys; ``sample`` keeps so many of each language model."""
    columns = ["m.statement_id", "m.llm_id", "m.sample", "m.x", "m.y", "s.behavior"]
    columns += ["c.cluster_id"] if clusters else []
    columns += ["left(s.statement, 200) as statement", "left(r.response, 260) as response"] if hover else []
    found = f"{_contains('s.statement', search)} or coalesce({_contains('r.response', search)}, false) as found"
    columns += [found] if search else []
    same_statements = "hash(m.statement_id), m.sample"
    same = "{0}.statement_id = m.statement_id and {0}.llm_id = m.llm_id and {0}.sample = m.sample"
    join_clusters = f"left join response_clusters as c on c.clustering = {literal(clustering)} and {same.format('c')}"
    return _sql(f"""
        select {", ".join(columns)}
        from response_map as m
        join statements as s using (statement_id)
        {join_clusters if clusters else ""}
        {"left join responses as r on " + same.format("r") if search or hover else ""}
        where m.embedder = {literal(embedder)} and m.llm_id in {literals(list(llms))} and m.x is not null
        {f"qualify row_number() over (partition by m.llm_id order by {same_statements}) <= {sample}" if sample else ""}
        order by hash(m.statement_id, m.llm_id, m.sample)
    """)


def statement_points(
    clustering: str, embedder: str, *, search: str = "", hover: bool = False, sample: int | None = None, clusters: bool = True
) -> str:
    """Statements on the map."""
    columns = ["m.statement_id", "m.x", "m.y", "s.behavior"]
    columns += ["c.cluster_id"] if clusters else []
    columns += ["left(s.statement, 200) as statement"] if hover else []
    columns += [f"{_contains('s.statement', search)} as found"] if search else []
    join = f"left join statement_clusters as c on c.clustering = {literal(clustering)} and c.statement_id = m.statement_id"
    return _sql(f"""
        select {", ".join(columns)}
        from statement_map as m
        join statements as s using (statement_id)
        {join if clusters else ""}
        where m.embedder = {literal(embedder)} and m.x is not null
        order by hash(m.statement_id)
        {f"limit {sample}" if sample else ""}
    """)


def _cells(prompt_type: str, llms: Sequence[str], prompts: Sequence[str], wording: str) -> str:
    return (
        f"prompt_type = {literal(prompt_type)} and wording = {literal(wording)} and llm_id in {literals(list(llms))} "
        f"and prompt_name in {literals(list(prompts))}"
    )


def decisions(prompt_type: str, llms: Sequence[str], prompts: Sequence[str], wording: str) -> str:
    """The first decision of every cell: statement, language model and prompt."""
    return _sql(f"""
        select statement_id, llm_id, prompt_name, arg_min(decision, sample) as decision
        from approvals
        where {_cells(prompt_type, llms, prompts, wording)}
        group by statement_id, llm_id, prompt_name
    """)


def verdicts(prompt_type: str, llms: Sequence[str], prompts: Sequence[str], wording: str) -> str:
    """Per statement, how many cells approve and how many disapprove."""
    return _sql(f"""
        select
            statement_id,
            count(*) filter (decision = 'approved') as approving,
            count(*) filter (decision = 'disapproved') as disapproving
        from approvals
        where {_cells(prompt_type, llms, prompts, wording)}
        group by statement_id
    """)


def response_texts(clustering: str, keys: Sequence[tuple[str, str, int]]) -> str:
    """The texts behind points of the response map, in the order of the keys."""
    rows = ", ".join(f"({literal(s)}, {literal(llm)}, {int(n)}, {i})" for i, (s, llm, n) in enumerate(keys))
    return _sql(f"""
        with picked(statement_id, llm_id, sample, place) as (values {rows})
        select p.llm_id, s.statement, coalesce(r.response, r.error) as response, c.cluster_id, s.behavior, p.statement_id
        from picked as p
        join statements as s using (statement_id)
        left join responses as r using (statement_id, llm_id, sample)
        left join response_clusters as c
            on c.clustering = {literal(clustering)}
            and c.statement_id = p.statement_id and c.llm_id = p.llm_id and c.sample = p.sample
        order by p.place
    """)


def statement_texts(clustering: str, ids: Sequence[str]) -> str:
    """The texts behind points of the statement map, in the order of the ids."""
    rows = ", ".join(f"({literal(s)}, {i})" for i, s in enumerate(ids))
    return _sql(f"""
        with picked(statement_id, place) as (values {rows})
        select s.statement, c.cluster_id, s.behavior, s.matching_answer, p.statement_id
        from picked as p
        join statements as s using (statement_id)
        left join statement_clusters as c on c.clustering = {literal(clustering)} and c.statement_id = p.statement_id
        order by p.place
    """)


# --- comparison ------------------------------------------------------------------------------------------------


def differences(clustering: str, a: str, b: str, fdr: float) -> str:
    """The difference in share of each cluster between two language models, a minus b, whichever way round it is stored, with
    what the cluster is called and how far that can be relied on; the clearest first. ``fdr`` may be another rate than that of the
    table's own verdicts."""
    columns = "cluster_id, n_statements, n_groups, q_value, verdict"
    turned = "-ci_high as ci_low, -ci_low as ci_high, -difference_shrunk as difference_shrunk"
    return _sql(f"""
        with pairs as (
            select {columns}, share_a, share_b, difference, ci_low, ci_high, difference_shrunk
            from llm_differences
            where
                clustering = {literal(clustering)} and llm_a = {literal(a)} and llm_b = {literal(b)} and difference is not null
            union all
            select {columns}, share_b as share_a, share_a as share_b, -difference as difference, {turned}
            from llm_differences
            where
                clustering = {literal(clustering)} and llm_a = {literal(b)} and llm_b = {literal(a)} and difference is not null
        )
        select
            p.* replace (
                case
                    when p.q_value <= {literal(fdr)} then 'differs' when p.verdict = 'differs' then 'not shown' else p.verdict
                end as verdict
            ),
            coalesce(t.name, case when p.cluster_id < 0 then 'noise' else 'cluster ' || p.cluster_id end) as label,
            case when t.stability < 0.6 then 'unstable' when t.headline is null then 'doubtful name' end as mark,
            t.stability, t.theme_validity, t.validity_low, t.validity_high, t.support
        from pairs as p
        left join comparison_cluster_themes as t on t.clustering = {literal(clustering)} and t.cluster_id = p.cluster_id
        order by greatest(p.ci_low, -p.ci_high, 0) desc, abs(p.difference) desc, p.cluster_id
    """)


def shares(clustering: str, a: str, b: str) -> str:
    """The share of each cluster in each of two language models, with its interval."""
    return _sql(f"""
        select
            cluster_id,
            any_value(share) filter (llm_id = {literal(a)}) as share_a,
            any_value(ci_low) filter (llm_id = {literal(a)}) as a_low,
            any_value(ci_high) filter (llm_id = {literal(a)}) as a_high,
            any_value(share) filter (llm_id = {literal(b)}) as share_b,
            any_value(ci_low) filter (llm_id = {literal(b)}) as b_low,
            any_value(ci_high) filter (llm_id = {literal(b)}) as b_high
        from llm_cluster_shares
        where clustering = {literal(clustering)}
        group by cluster_id
        order by cluster_id
    """)


def distance(a: str, b: str) -> str:
    """How well the responses of two language models can be told apart."""
    return _sql(f"""
        select separability, ci_low, ci_high, q_value, verdict, n, n_groups
        from llm_distances
        where llm_a in {literals([a, b])} and llm_b in {literals([a, b])}
    """)


def pair_examples(clustering: str, cluster_id: int, a: str, b: str, limit: int = 200) -> str:
    """Statements with both responses, where at least one of them lies in the cluster; first those where only one does."""
    return _sql(f"""
        with members as (
            select statement_id, llm_id, min(cluster_id) as cluster_id, min(sample) as sample
            from comparison_clusters
            where clustering = {literal(clustering)} and llm_id in {literals([a, b])} and half = 'test'
            group by statement_id, llm_id
        )
        select
            s.statement,
            ra.response as response_a,
            rb.response as response_b,
            a.cluster_id = {cluster_id} as in_a,
            b.cluster_id = {cluster_id} as in_b,
            s.behavior,
            s.statement_id
        from statements as s
        join members as a on a.statement_id = s.statement_id and a.llm_id = {literal(a)}
        join members as b on b.statement_id = s.statement_id and b.llm_id = {literal(b)}
        left join responses as ra on ra.statement_id = s.statement_id and ra.llm_id = a.llm_id and ra.sample = a.sample
        left join responses as rb on rb.statement_id = s.statement_id and rb.llm_id = b.llm_id and rb.sample = b.sample
        where a.cluster_id = {cluster_id} or b.cluster_id = {cluster_id}
        order by in_a = in_b, in_a desc, s.statement_id
        limit {limit}
    """)


# --- approvals -------------------------------------------------------------------------------------------------


def settings() -> str:
    """What the verdicts of this warehouse mean, and the wording in which rates are given."""
    return "select fdr, margin, first_wording\nfrom statistics_settings"


def rates(prompt_type: str, llms: Sequence[str], wording: str) -> str:
    """Counts and rates of every language model under every prompt of a type, asked in one wording."""
    return _sql(f"""
        select
            llm_id, prompt_name, n, approved, disapproved, refused, unparsable, errors,
            n_statements, n_groups, rate, ci_low, ci_high
        from approval_rates_by_wording
        where prompt_type = {literal(prompt_type)} and wording = {literal(wording)} and llm_id in {literals(list(llms))}
        order by prompt_name, llm_id
    """)


def bias(prompt_type: str, llms: Sequence[str]) -> str:
    """Rates with the tendency to say yes taken out, and how often the wordings contradict each other."""
    return _sql(f"""
        select
            llm_id, prompt_name, n_statements, n_groups, rate, ci_low, ci_high,
            balanced_rate, balanced_low, balanced_high, yes_bias, yes_bias_low, yes_bias_high, incoherence
        from approval_rates
        where prompt_type = {literal(prompt_type)} and llm_id in {literals(list(llms))}
        order by prompt_name, llm_id
    """)


def _in_cluster(clustering: str, cluster_id: int | None) -> str:
    """A condition on ``statement_id``; true for all clusters."""
    if cluster_id is None:
        return "true"
    where = f"clustering = {literal(clustering)} and cluster_id = {cluster_id}"
    return f"statement_id in (select statement_id from statement_clusters where {where})"


def rates_in_cluster(prompt_type: str, llms: Sequence[str], wording: str, clustering: str, cluster_id: int) -> str:
    """The same in one cluster of statements: decisions are counted, rates and intervals are those of the cluster's table."""
    counted = ", ".join(f"count(*) filter (decision = '{decision}') as {column}" for column, decision in DECISIONS.items())
    return _sql(f"""
        with counts as (
            select llm_id, prompt_type, prompt_name, count(*) as n, {counted}
            from approvals
            where
                prompt_type = {literal(prompt_type)} and wording = {literal(wording)} and llm_id in {literals(list(llms))}
                and {_in_cluster(clustering, cluster_id)}
            group by llm_id, prompt_type, prompt_name
        )
        select
            c.* exclude (prompt_type), coalesce(a.n_statements, 0) as n_statements, coalesce(a.n_groups, 0) as n_groups,
            a.rate, a.ci_low, a.ci_high
        from counts as c
        left join statement_cluster_approvals as a
            on
                a.clustering = {literal(clustering)} and a.cluster_id = {cluster_id}
                and a.llm_id = c.llm_id and a.prompt_type = c.prompt_type and a.prompt_name = c.prompt_name
        order by prompt_name, llm_id
    """)


# What the difference could be, had all answers decided: where many do not, or many more on one side.
_BOUNDS = ", ".join(f"case when answers_missing then {end} end as {end}" for end in ("bound_low", "bound_high"))
_COMPARED = "ci_low, ci_high, q_value, verdict, difference_shrunk, spread, holds_under, answered_a, answered_b"


def agreement(prompt_type: str, llms: Sequence[str]) -> str:
    """Every pair of cells: one language model under two prompts, or two under one."""
    return _sql(f"""
        select
            llm_a, prompt_a, llm_b, prompt_b, n_statements, n_groups, "both", only_a, only_b, neither,
            agreement, kappa, phi, rate_a, rate_b, difference, {_COMPARED},
            {_BOUNDS}
        from approval_agreement
        where
            prompt_type = {literal(prompt_type)} and difference is not null  -- NULL: there is nothing that both decided
            and llm_a in {literals(list(llms))} and llm_b in {literals(list(llms))}
        order by llm_a, prompt_a, llm_b, prompt_b
    """)


def behavior_differences(prompt_type: str, llms: Sequence[str]) -> str:
    """In which behaviors two prompts, or two language models, part; the clearest first."""
    return _sql(f"""
        select
            behavior, llm_a, prompt_a, llm_b, prompt_b, n_statements, n_groups, rate_a, rate_b, difference, {_COMPARED},
            {_BOUNDS}
        from approval_differences
        where
            prompt_type = {literal(prompt_type)} and difference is not null  -- NULL: there is nothing that both decided
            and llm_a in {literals(list(llms))} and llm_b in {literals(list(llms))}
        order by greatest(ci_low, -ci_high, 0) desc, abs(difference) desc, behavior, llm_a, prompt_a, llm_b, prompt_b
    """)


def rates_by_behavior(prompt_type: str, llms: Sequence[str]) -> str:
    """Approval rates of every behavior."""
    return _sql(f"""
        select
            behavior, prompt_name, llm_id, n_statements, n_groups, rate, ci_low, ci_high,
            balanced_rate, balanced_low, balanced_high, yes_bias
        from approval_rates_by_behavior
        where prompt_type = {literal(prompt_type)} and llm_id in {literals(list(llms))}
        order by behavior, prompt_name, llm_id
    """)


def unanswered(llms: Sequence[str], prompt_type: str | None = None) -> str:
    """How many of the answers came to nothing, and how; the most first."""
    where = f"prompt_type = {literal(prompt_type)} and " if prompt_type else ""
    return _sql(f"""
        select outcome, prompt_type, prompt_name, llm_id, rate, ci_low, ci_high, n_statements, n_groups
        from answered_rates
        where {where}llm_id in {literals(list(llms))}
        order by rate desc, llm_id, prompt_type, prompt_name, outcome
    """)


def unanswered_differences(llms: Sequence[str], prompt_type: str) -> str:
    """Where two language models differ in that; the clearest first."""
    return _sql(f"""
        select
            outcome, prompt_name, llm_a, llm_b, rate_a, rate_b, difference, ci_low, ci_high, q_value, verdict, difference_shrunk,
            n_statements, n_groups
        from answered_differences
        where
            prompt_type = {literal(prompt_type)} and difference is not null  -- NULL: there is nothing that both decided
            and llm_a in {literals(list(llms))} and llm_b in {literals(list(llms))}
        order by greatest(ci_low, -ci_high, 0) desc, abs(difference) desc, outcome, prompt_name, llm_a, llm_b
    """)


def problems(table: str, llms: Sequence[str]) -> str:
    """What spoils the answers of a language model: rows of answer_problems, or of response_problems."""
    return _sql(f"""
        select *
        from {table}
        where problem is not null and llm_id in {literals(list(llms))}
        order by llm_id
    """)


def findings(table: str) -> str:
    """What stands out, with up to three statements to read: rows of findings, or of response_findings."""
    return _sql(f"""
        with to_read as (
            select f.position, list({{'statement_id': s.statement_id, 'statement': s.statement}} order by i.place) as statements
            from {table} as f
            cross join unnest(f.statement_ids) with ordinality as i(statement_id, place)
            join statements as s on s.statement_id = i.statement_id
            where i.place <= 3
            group by f.position
        )
        select f.*, coalesce(r.statements, []) as statements
        from {table} as f
        left join to_read as r using (position)
        order by f.position
    """)


def decision_pivot(
    prompt_type: str,
    llms: Sequence[str],
    *,
    across: str,
    wording: str,
    clustering: str = "",
    cluster_id: int | None = None,
    decision: str | None = None,
    disagreements: bool = False,
    search: str = "",
    limit: int = 20_000,
) -> str:
    """Decisions as a table: one row a statement and language model with a column per prompt (``across='prompt_name'``), or
    one row a statement and prompt with a column per language model (``across='llm_id'``)."""
    other = "llm_id" if across == "prompt_name" else "prompt_name"
    kept = ["yes > 0 and no > 0"] * disagreements + (["matching > 0"] if decision else [])
    return _sql(f"""
        with cells as (
            select statement_id, s.statement, s.behavior, a.{other}, a.{across}, arg_min(a.decision, a.sample) as decision
            from approvals as a
            join statements as s using (statement_id)
            where
                a.prompt_type = {literal(prompt_type)} and a.wording = {literal(wording)} and a.llm_id in {literals(list(llms))}
                and {_in_cluster(clustering, cluster_id)}
                and {_contains("s.statement", search) if search else "true"}
            group by all
        ),
        counted as (
            select
                *,
                count(*) filter (decision = 'approved') over cells_of_row as yes,
                count(*) filter (decision = 'disapproved') over cells_of_row as no,
                count(*) filter (decision = {literal(decision)}) over cells_of_row as matching
            from cells
            window cells_of_row as (partition by statement_id, {other})
        )
        pivot (
            select statement, behavior, {other}, {across}, decision, statement_id
            from counted
            where {" and ".join(kept) or "true"}
        )
        on {across} using any_value(decision)
        group by statement, behavior, {other}, statement_id
        order by statement_id, {other}
        limit {limit}
    """)


# --- reading ---------------------------------------------------------------------------------------------------


def statement_ids(
    warehouse: Warehouse, *, behavior: str | None = None, search: str = "", clustering: str = "", cluster_id: int | None = None
) -> str:
    """The statements that a reader walks through, in order."""
    found = _contains("statement", search) if search else "true"
    if search and warehouse.has("responses"):
        found = f"({found} or statement_id in (select statement_id from responses where {_contains('response', search)}))"
    return _sql(f"""
        select statement_id
        from statements
        where
            {f"behavior = {literal(behavior)}" if behavior else "true"}
            and {found}
            and {_in_cluster(clustering, cluster_id)}
        order by behavior, statement_id
    """)


def statement(statement_id: str) -> str:
    """One statement."""
    return f"select *\nfrom statements\nwhere statement_id = {literal(statement_id)}"


def responses_of(statement_id: str, llms: Sequence[str]) -> str:
    """What each language model said to a statement."""
    return _sql(f"""
        select llm_id, sample, response, reasoning, finish_reason, error, input_tokens, output_tokens, latency_ms
        from responses
        where statement_id = {literal(statement_id)} and llm_id in {literals(list(llms))}
        order by llm_id, sample
    """)


def approvals_of(statement_id: str, llms: Sequence[str]) -> str:
    """What each language model decided on a statement, under every prompt and wording."""
    return _sql(f"""
        select llm_id, prompt_type, prompt_name, wording, sample, decision, answer, reasoning, p_approve
        from approvals
        where statement_id = {literal(statement_id)} and llm_id in {literals(list(llms))}
        order by llm_id, prompt_type, prompt_name, wording, sample
    """)


# --- runs and quality ------------------------------------------------------------------------------------------


def _answer_tables(warehouse: Warehouse) -> list[str]:
    """The tables whose rows are answers of language models."""
    return [table for table in ("responses", "approvals") if warehouse.has(table)]


def call_totals(warehouse: Warehouse) -> str:
    """Calls, failures, tokens, cost and latency per step and language model."""
    sums = ", ".join(f"sum({c}) as {c}" for c in ("input_tokens", "output_tokens", "cost_usd"))
    quantiles = ", ".join(f"quantile_cont(latency_ms, {k / 100}) as p{k}" for k in (25, 50, 75, 95))
    parts = [
        f"""
            select '{table}' as step, llm_id, count(*) as calls, count(error) as failed, {sums},
                count_if(cost_usd is null and error is null) as unpriced,
                {quantiles}
            from {table}
            group by llm_id
        """
        for table in _answer_tables(warehouse)
    ]
    return _sql(f"""
        from ({"union all".join(parts)})
        order by step desc, llm_id
    """)


def failures(warehouse: Warehouse, limit: int = 1000) -> str:
    """Calls that have no answer, and why."""
    parts = [
        f"""
            select '{table}' as step, llm_id, error, statement_id
            from {table}
            where error is not null
        """
        for table in _answer_tables(warehouse)
    ]
    return _sql(f"""
        from ({"union all".join(parts)})
        order by step, llm_id, statement_id
        limit {limit}
    """)


def subjects(warehouse: Warehouse) -> str:
    """The language models under study, in the order in which they were declared: not those that only name clusters."""
    return "select llm_id\nfrom subjects\norder by rowid" if warehouse.has("subjects") else "select NULL as llm_id\nwhere false"


def latest_tests() -> str:
    """The last outcome of every data test."""
    return _sql("""
        with ended as (
            select
                arg_max(r.status, u.started_at) as status,
                r.name,
                arg_max(r.failures, u.started_at) as failures,
                arg_max(r.message, u.started_at) as message,
                max(u.started_at) as ran_at
            from _bclust.results as r
            join _bclust.runs as u using (invocation_id)
            where r.resource_type not in ('model', 'seed', 'source')
            group by r.unique_id, r.name
        )
        from ended
        order by status in ('pass', 'success'), name
    """)


def rejected_rows() -> str:
    """Input rows that were not read, and why."""
    return _sql("""
        select node, source_file, source_line, reason, left(text, 200) as text
        from _bclust.rejected_rows
        order by node, source_file, source_line
    """)
