-- name: put
INSERT INTO service (tenant, kind, name, settings)
SELECT ?1, ?2, ?3, ?4
WHERE (SELECT count(*) FROM service WHERE tenant = ?1 AND kind = ?2 AND name <> ?3) < ?5
ON CONFLICT (tenant, kind, name) DO UPDATE SET settings = excluded.settings

-- name: of_tenant
SELECT kind, name, settings FROM service WHERE tenant = ? ORDER BY kind, name

-- name: delete
DELETE FROM service WHERE tenant = ? AND kind = ? AND name = ?
