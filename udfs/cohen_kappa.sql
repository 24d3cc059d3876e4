-- Cohen's kappa (1960) of two paired yes-or-no ratings, from the four counts; NULL where both say the same to everything.
create or replace macro cohen_kappa("both", only_a, only_b, neither) as (
    (2.0 * ("both"::double * neither - only_a::double * only_b))
    / nullif(
        ("both" + only_a)::double * (only_a + neither) + ("both" + only_b)::double * (only_b + neither),
        0
    )
)
