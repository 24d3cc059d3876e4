-- How many clusters n rows get: n_clusters_ratio of them, between min_clusters and max_clusters.
create or replace macro auto_clusters(n) as (
    greatest(
        getvariable('min_clusters')::integer,
        least(getvariable('max_clusters')::integer, floor(getvariable('n_clusters_ratio')::double * n)::integer)
    )
)
