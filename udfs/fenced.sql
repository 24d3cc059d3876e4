-- A text within a prompt, on one line, cut to a length, between marks that it cannot write itself.
create or replace macro fenced(body, most := 1000000) as (
    '<text>' || left(trim(regexp_replace(regexp_replace(body, '(?i)<\s*/?\s*text\b[^>]*>?', '', 'g'), '\s+', ' ', 'g')), most) || '</text>'
)
