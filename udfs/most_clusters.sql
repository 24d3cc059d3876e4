-- How many clusters the clusterings in `settings` can have at most, all together, where n rows of n_statements statements are grouped.
create or replace macro most_clusters(settings, n, n_statements) as table (
    select
        coalesce(sum(least(
            n,
            getvariable('fit_sample')::bigint,
            case n_clusters
                when 'auto' then auto_clusters(n_statements)
                when 'silhouette' then greatest(2, least(200, n // 10))
                when 'found' then n  -- one that finds the number itself has at most one cluster for each row
                else n_clusters::bigint
            end
        )), 0)::bigint as clusters
    from query_table(settings)
)
