-- A version of the SQLite schema: large bytes that steps return (store/step_bytes.py). Never edited once released: a change is a
-- new migration.

-- Parts in order, from 0. `name` is the step's, after those of its parents, as in `step`; all are of kind `do`.
CREATE TABLE step_part (
    instance INTEGER NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (instance, name, count, number)
) STRICT;
