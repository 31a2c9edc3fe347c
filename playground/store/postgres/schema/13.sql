-- A version of the PostgreSQL schema: large bytes that steps return (store/step_bytes.py). Never edited once released: a change is
-- a new migration.

-- Parts in order, from 0. `name` is the step's, after those of its parents, as in `step`; all are of kind `do`.
CREATE TABLE step_part (
    instance bigint NOT NULL,
    name text NOT NULL,
    count integer NOT NULL,
    number integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (instance, name, count, number)
);
ALTER TABLE step_part ALTER COLUMN data SET STORAGE EXTERNAL; -- read and written whole; to compress them is for the code
