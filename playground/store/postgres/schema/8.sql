-- A version of the PostgreSQL schema: services of tenants (store/services.py). Never edited once released: a change is a new migration.

CREATE TABLE service (
    tenant text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    settings text NOT NULL,
    PRIMARY KEY (tenant, kind, name)
);
