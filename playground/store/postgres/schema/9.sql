-- A version of the PostgreSQL schema: tags of instances (workflows/tags.py). Never edited once released: a change is a new migration.

-- What an instance is found by; all its tags stand in its row, too.
CREATE TABLE tag (
    tenant text NOT NULL,
    tag text COLLATE "C" NOT NULL,
    instance bigint NOT NULL,
    PRIMARY KEY (tenant, tag, instance)
);
