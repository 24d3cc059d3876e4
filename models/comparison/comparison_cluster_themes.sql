-- What each cluster that language models are compared in is about, and what a headline may call it: words that its texts hold.
with sizes as (
    select clustering, cluster_id, count(*) as n
    from comparison_clusters
    group by all
),

typical as (
    select clustering, cluster_id, 'response' as kind, keywords, words from comparison_cluster_keywords
),

named as (
    select * from cluster_names('comparison_theme_answers', 'comparison_theme_retries', 'typical')
),

judged as (
    select *, validity_low <= 0.5 as is_unconfirmed from theme_validities('comparison_theme_judgements')
),

given as (
    select
        z.clustering, z.cluster_id, z.n, w.keywords, coalesce(w.words, []) as key_words,
        case when j.is_unconfirmed then null else a.name end as given_name,
        a.error as theme_error,
        case when j.is_unconfirmed then a.name end as unconfirmed_theme
    from sizes as z
    left join typical as w using (clustering, cluster_id)
    left join named as a using (clustering, cluster_id)
    left join judged as j using (clustering, cluster_id)
),

names as (
    select
        * exclude (given_name),
        case when cluster_id >= 0 then coalesce(given_name, keywords) end as name,
        case when cluster_id >= 0 then case when given_name is null then 'keywords' else getvariable('themes_llm')::varchar end end as name_source,
        case when given_name is null then key_words else content_words(given_name) end as name_words
    from given
),

words as (
    select clustering, 'response' as kind, cluster_id, 'name' as part, unnest(name_words) as word, generate_subscripts(name_words, 1) as place
    from names
    where name is not null
    union all
    select clustering, 'response' as kind, cluster_id, 'keywords' as part, unnest(key_words) as word, generate_subscripts(key_words, 1) as place
    from names
),

tested as (
    select statement_id, llm_id, sample, content_words(response, all_words := true) as words
    from responses as r
    semi join comparison_clusters as c
        on c.half = 'test' and c.statement_id = r.statement_id and c.llm_id = r.llm_id and c.sample = r.sample
),

texts as (
    select c.clustering, 'response' as kind, c.cluster_id, t.words
    from comparison_clusters as c
    inner join tested as t using (statement_id, llm_id, sample)
),

supports as (
    select
        clustering, cluster_id,
        min(support) filter (where part = 'name') as support,
        min(support) filter (where part = 'keywords') as keyword_support,
        coalesce(list(word order by place) filter (where part = 'name' and support >= 0.5), []) as held_of_name,
        coalesce(list(word order by place) filter (where part = 'keywords' and support >= 0.5), []) as held_of_keywords
    from word_supports('words', 'texts')
    group by clustering, cluster_id
),

candidates as (
    select
        n.*, s.* exclude (clustering, cluster_id), j.* exclude (clustering, cluster_id, is_unconfirmed),
        f.jaccards[n.cluster_id + 1] as stability,
        case
            -- a cluster that does not come back, or that nobody tells from others by its name, is no headline; nor is noise
            when n.cluster_id < 0 or f.jaccards[n.cluster_id + 1] < 0.6 or j.validity_low <= 0.5 then []
            when len(s.held_of_name) > 0 then s.held_of_name
            else s.held_of_keywords
        end as headline_words
    from names as n
    inner join comparison_cluster_fits as f using (clustering)
    left join supports as s using (clustering, cluster_id)
    left join judged as j using (clustering, cluster_id)
)

select
    clustering, cluster_id, n, name, keywords, name_source, support, keyword_support,
    theme_validity, validity_low, validity_high, stability, theme_error, unconfirmed_theme,
    -- two headlines of one clustering that would be equal are told apart by keywords that its texts hold, too
    nullif(array_to_string(
        case
            when count(*) over (partition by clustering, headline_words) > 1 and headline_words <> []
                then headline_words || list_filter(held_of_keywords, lambda word: not list_contains(headline_words, word))
            else headline_words
        end, ', '
    ), '') as headline
from candidates
order by clustering, cluster_id
