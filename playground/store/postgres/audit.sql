-- The statements of the audit log (store/audit.py). There is none that changes an entry.

-- name: insert
INSERT INTO audit (at, tenant, actor, address, action, target, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: of_all
SELECT number, at, tenant, actor, address, action, target, outcome FROM audit
WHERE number < $1 AND at >= $2 ORDER BY number DESC LIMIT $3

-- name: of_tenant
SELECT number, at, tenant, actor, address, action, target, outcome FROM audit
WHERE tenant = $1 AND number < $2 AND at >= $3 ORDER BY number DESC LIMIT $4

-- name: forget_old
DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE at < $1 ORDER BY at LIMIT $2) RETURNING number

-- name: over
SELECT tenant, count(*) - $1 FROM audit GROUP BY tenant HAVING count(*) > $1

-- name: forget_oldest
DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE tenant = $1 ORDER BY number LIMIT $2)
RETURNING number
