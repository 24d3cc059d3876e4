-- The one paired test: rows of a query (by name) with a value of either side for each statement group, compared per key.
-- `judged` says what the results of all keys together allow to say.
-- In: keys..., group_id, statements, value_a, value_b (0 to 1; NULL: not decided by both), answered_a, answered_b (shares of the
-- answers that decided), sure_a, sure_b (how much of all answers
-- counts for certain: value times answered; NULL: value), of_groups, of_statements
-- (NULL, or how many there are where groups that are 0 on both sides are left out).
-- Out: per key the mean difference over groups with interval, p-value and standard error.
create or replace macro paired_tests(units) as table (
    with sides as (
        select
            * exclude (value_a, value_b),
            case when value_b is not null then value_a end as value_a,
            case when value_a is not null then value_b end as value_b
        from query_table(units)
    ),

    cells as (
        select
            * exclude (
                group_id, statements, value_a, value_b, answered_a, answered_b, sure_a, sure_b, of_groups, of_statements
            ),
            coalesce(max(of_groups), count(value_a))::bigint as n_groups,
            coalesce(max(of_statements), sum(statements) filter (value_a is not null), 0)::bigint as n_statements,
            -- as exact decimals, whose sum is the same in any order
            sum(value_a::decimal(18, 15))::double / nullif(coalesce(max(of_groups), count(value_a)), 0) as value_a,
            sum(value_b::decimal(18, 15))::double / nullif(coalesce(max(of_groups), count(value_a)), 0) as value_b,
            sum((value_a * value_a)::decimal(18, 15))::double / nullif(coalesce(max(of_groups), count(value_a)), 0) as square_a,
            sum((value_b * value_b)::decimal(18, 15))::double / nullif(coalesce(max(of_groups), count(value_b)), 0) as square_b,
            sum((value_a * value_b)::decimal(18, 15))::double / nullif(coalesce(max(of_groups), count(value_a)), 0) as product,
            histogram(round((value_a - value_b)::double, 9)) as differences,
            avg(answered_a::decimal(18, 15)) as answered_a,
            avg(answered_b::decimal(18, 15)) as answered_b,
            -- had all answers decided: the furthest apart that they can be
            avg((coalesce(sure_a, value_a) - (coalesce(sure_b, value_b) + 1 - answered_b))::decimal(18, 15)) as bound_low,
            avg((coalesce(sure_a, value_a) + 1 - answered_a - coalesce(sure_b, value_b))::decimal(18, 15)) as bound_high
        from sides
        group by all
    ),

    -- how far the values of a side spread, as a part of what they could (groups that are all 0 or all 1); 1 where that is not seen
    spreads as (
        select
            *,
            case when value_a in (0, 1) then 1 else (square_a - value_a * value_a) / (value_a * (1 - value_a)) end as spread_a,
            case when value_b in (0, 1) then 1 else (square_b - value_b * value_b) / (value_b * (1 - value_b)) end as spread_b
        from cells
    ),

    -- if both had one rate: the one they would have, each side weighted by what it tells of it
    equals as (
        select *, (value_a * spread_b + value_b * spread_a) / nullif(spread_a + spread_b, 0) as rate
        from spreads
    ),

    tested as (
        select
            * exclude (differences, square_a, square_b, product, spread_a, spread_b, rate),
            sign_flip_test(
                coalesce(map_keys(differences), []), coalesce(map_values(differences), [])::bigint[], n_groups,
                looks := getvariable('looks')::int,
                null_variance := greatest(0, (spread_a + spread_b) * rate * (1 - rate) - 2 * (product - value_a * value_b))::double
            ) as test
        from equals
    )

    select
        * exclude (test),
        test.estimate as difference,
        test.low as ci_low,
        test.high as ci_high,
        test.p_value as p_value,
        test.standard_error as standard_error,
        -- so many, or so unequally, that what was decided does not speak for all
        coalesce(least(answered_a, answered_b) < 0.8 or abs(answered_a - answered_b) > 0.05, false) as answers_missing
    from tested
)
