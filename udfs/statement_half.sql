-- Which half of the statements a statement belongs to, by a seeded hash: `define` shapes clusters, `test` tests them.
create or replace macro statement_half(statement_id, random_state) as
    case when md5(statement_id || '|' || random_state || '|half') < '8' then 'define' else 'test' end
