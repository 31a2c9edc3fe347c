-- A version of the SQLite schema: tags of instances (workflows/tags.py). Never edited once released: a change is a new migration.

-- What an instance is found by; all its tags stand in its row, too.
CREATE TABLE tag (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    instance INTEGER NOT NULL,
    PRIMARY KEY (tenant, tag, instance)
) STRICT, WITHOUT ROWID;
