# A notebook's cells, as a script: each `# %%` begins one. Run it in the folder of a project (`bclust init study && cd study`).
# %%
import polars as pl

import bclust

project = bclust.open(".", vars={"n_statements": 60})

# %% What would a build do, and what would it cost? Nothing is spent.
plan = project.plan("approval_rates findings")
print(f"{plan.new:,} new calls, at most ${plan.most_usd:.2f}")

# %% Build it. Without max_cost, what may cost more than confirm_over_usd (bclust.yml) is not begun.
run = project.build("approval_rates findings", max_cost=0, quiet=True)
print(run.ok, run.totals.calls_new, "calls made")

# %% In a notebook this shows the grain of the table, and what its columns mean.
rates = project.tables["approval_rates"]
print(rates.description)
print([column.name for column in rates.columns][:4])

# %% Tables are polars data frames.
best = rates.read().sort("rate", descending=True).select("llm_id", "prompt_name", "rate", "ci_low", "ci_high")
print(best.head(3))

# %% SQL over all of them.
shares = project.sql("select llm_id, avg((decision = 'refused')::int) as refused from approvals group by llm_id order by llm_id")
print(shares.with_columns(pl.col("refused").round(3)))

# %% What stands out.
for sentence in project.read("findings").sort("position").head(3)["title"]:
    print("-", sentence)
