-- What a server told beside an answer, by its name in the answer's detail: text, and NULL where it told no such thing.
create or replace macro told_beside(detail, part) as json_extract_string(try_cast(detail as json), '$.' || part)
