-- The prompt for a theme: the instruction, the members as a numbered list, and some of the nearest other group, cut to a budget.
create or replace macro theme_prompt(instruction, texts, others, max_total_tokens) as (
    -- about four characters are a token
    left(
        instruction || chr(10)
        || list_aggregate(list_transform(texts, lambda x, i: i || '. ' || left(x, 4 * max_total_tokens // len(texts))), 'string_agg', chr(10)),
        4 * max_total_tokens + length(instruction)
    )
    || coalesce(
        chr(10) || 'For contrast, texts of another group, whose themes are not asked for:' || chr(10)
        || list_aggregate(list_transform(others, lambda x: '- ' || left(x, 200)), 'string_agg', chr(10)),
        ''
    )
)
