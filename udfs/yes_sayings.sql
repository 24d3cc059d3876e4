-- Whether a tendency to say yes, or no, to anything would look like a difference between two sides (rows of a query, by name).
-- In: keys..., statement_id, yes_means, matching_answer (NULL: values are not turned by it), value_a, value_b (decided by both).
-- Out: per key may_be_yes_saying. Two reasons: statements were decided mostly one way round and are not of both keys alike; or of a
-- tendency that is seen in statements decided both ways round, what those decided one way round let through is half of the difference.
create or replace macro yes_sayings(answers) as table (
    with statements as (
        select
            * exclude (yes_means, matching_answer, value_a, value_b),
            case when matching_answer = 'no' then -1 else 1 end as key,
            avg((value_a - value_b)::decimal(18, 15)) filter (where yes_means = 'approve') as to_approve,
            avg((value_a - value_b)::decimal(18, 15)) filter (where yes_means = 'object') as to_object
        from query_table(answers)
        group by all
    ),

    tendencies as (
        select
            * exclude (statement_id, key, to_approve, to_object),
            count(to_approve) as n_approve,
            count(to_object) as n_object,
            avg((key = -1)::int) as no_keyed,
            avg((coalesce(to_approve, to_object) + coalesce(to_object, to_approve)) / 2) as difference,
            avg(key * (to_approve - to_object) / 2) as tendency,
            avg(key * ((to_object is null)::int - (to_approve is null)::int)) as one_way_round
        from statements
        group by all
    )

    select
        * exclude (n_approve, n_object, no_keyed, difference, tendency, one_way_round),
        (least(n_approve, n_object) < 0.5 * greatest(n_approve, n_object) and no_keyed not between 0.45 and 0.55)
        or coalesce(abs(tendency * one_way_round) >= abs(difference) / 2 and tendency * one_way_round <> 0, false) as may_be_yes_saying
    from tendencies
)
