-- The themes in an answer such as "1. Theme (2, 6)", joined by semicolons; NULL where there is none.
create or replace macro theme_of(answer) as (
    nullif(
        list_aggregate(
            list_filter(
                list_transform(
                    regexp_extract_all(answer, '(?m)^\s*(?:\d+[.):]|[-*•])\s*(.+?)\s*(?:\((?:\s*\d+\s*,?)+\))?[.;]?\s*$', 1),
                    lambda x: trim(x, ' *"')
                ),
                lambda x: length(x) between 2 and 200 and not regexp_matches(lower(x), '^(no|none|n/a)\b')
            ),
            'string_agg', '; '
        ),
        ''
    )
)
