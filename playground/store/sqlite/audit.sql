-- The statements of the audit log (store/audit.py). There is none that changes an entry.

-- name: insert
INSERT INTO audit (at, tenant, actor, address, action, target, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: of_all
SELECT number, at, tenant, actor, address, action, target, outcome FROM audit
WHERE number < ? AND at >= ? ORDER BY number DESC LIMIT ?

-- name: of_tenant
SELECT number, at, tenant, actor, address, action, target, outcome FROM audit
WHERE tenant = ? AND number < ? AND at >= ? ORDER BY number DESC LIMIT ?

-- name: forget_old
DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE at < ? ORDER BY at LIMIT ?)

-- name: over
SELECT tenant, count(*) - ?1 FROM audit GROUP BY tenant HAVING count(*) > ?1

-- name: forget_oldest
DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE tenant = ? ORDER BY number LIMIT ?)
