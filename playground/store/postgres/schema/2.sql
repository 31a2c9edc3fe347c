-- Version 2 of the PostgreSQL schema: several named workflows per tenant. Never edited once released: a change is a new migration.

-- Numbers count per workflow, so its name is part of the key; what programs of version 1 deploy is `main`. `options` is JSON: what was
-- deployed with the code (limits), NULL for nothing.
ALTER TABLE tenant_version ADD COLUMN workflow text COLLATE "C" NOT NULL DEFAULT 'main', ADD COLUMN options text;
ALTER TABLE tenant_version DROP CONSTRAINT tenant_version_pkey, ADD PRIMARY KEY (tenant, workflow, number);
