-- The phi coefficient (Pearson's r of two yes-or-no answers), from the four counts; NULL where either never varies.
create or replace macro phi("both", only_a, only_b, neither) as (
    ("both"::double * neither - only_a::double * only_b)
    / nullif(
        sqrt(
            ("both" + only_a)::double * (only_b + neither) * ("both" + only_b)::double * (only_a + neither)
        ),
        0
    )
)
