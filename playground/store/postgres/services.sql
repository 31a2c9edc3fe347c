-- name: lock_tenant
-- Whoever counts a tenant's services is alone with them.
SELECT pg_advisory_xact_lock(hashtextextended('service ' || $1, 0))

-- name: put
INSERT INTO service (tenant, kind, name, settings)
SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM service WHERE tenant = $1 AND kind = $2 AND name <> $3) < $5::bigint
ON CONFLICT (tenant, kind, name) DO UPDATE SET settings = excluded.settings
RETURNING 1

-- name: of_tenant
SELECT kind, name, settings FROM service WHERE tenant = $1 ORDER BY kind, name

-- name: delete
DELETE FROM service WHERE tenant = $1 AND kind = $2 AND name = $3 RETURNING 1
