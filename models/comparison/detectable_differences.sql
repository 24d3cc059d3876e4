-- What the number of statements can show: the smallest differences found with 80 % power, for `bclust plan` to say beforehand.
with sizes as (
    select 'approvals of two language models or prompts' as comparison, count(*) as n from statements
    union all
    select 'shares of a cluster in the responses of two language models' as comparison, count(*) as n
    from statements
    where statement_half(statement_id, getvariable('random_state')) = 'test'
),

final as (
    select
        s.comparison, s.n, d.discordant,
        detectable_difference(s.n, discordant := d.discordant) as difference
    from sizes as s
    cross join (select unnest([0.1, 0.3]::double[]) as discordant) as d
)

select
    *,
    format(
        '{:,} statements show a difference of {:.0f} points in {} (80 % power, 5 % level), if {:.0f} % of them are decided differently',
        n, 100 * difference, comparison, 100 * discordant
    ) as note
from final
order by comparison, discordant
