-- All statements on operations on many instances, by name (bulks.py).

-- name: columns
tenant, id, operation, filter, state, matched, done, unchanged, failed, failures, part, created_at, ended_at, due_at

-- name: lock_tenant
-- Until the transaction ends, nobody else adds one of this tenant.
SELECT pg_advisory_xact_lock(hashtextextended('bulks ' || $1, 0))

-- name: put
-- Counted in the statement that writes, so that two concurrent calls cannot both take the last place.
INSERT INTO bulk ({columns}) SELECT $1, $2, $3, $4, $5, $6::bigint, $7::bigint, $8::bigint, $9::bigint, $10, $11::bigint, $12::bigint, $13::bigint, $14::bigint
WHERE (SELECT count(*) FROM bulk WHERE tenant = $1 AND state = 'running') < $15
RETURNING 1

-- name: put_part
INSERT INTO bulk_part (tenant, id, number, targets) VALUES ($1, $2, $3, $4)

-- name: old
SELECT id FROM bulk WHERE tenant = $1 AND state <> 'running' ORDER BY created_at DESC, id OFFSET $2

-- name: delete
DELETE FROM bulk WHERE tenant = $1 AND id = $2

-- name: delete_parts
DELETE FROM bulk_part WHERE tenant = $1 AND id = $2

-- name: get
SELECT {columns} FROM bulk WHERE tenant = $1 AND id = $2

-- name: of_tenant
SELECT {columns} FROM bulk WHERE tenant = $1 ORDER BY created_at DESC, id

-- name: take_due
UPDATE bulk SET due_at = $2 WHERE (tenant, id) IN (
    SELECT tenant, id FROM bulk WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING {columns}

-- name: part
SELECT targets FROM bulk_part WHERE tenant = $1 AND id = $2 AND number = $3

-- name: advance
-- One that was stopped meanwhile stays so, with what was done.
UPDATE bulk SET done = $5, unchanged = $6, failed = $7, failures = $8, part = $9,
    state = CASE WHEN state = 'running' THEN $4::text ELSE state END,
    ended_at = CASE WHEN state = 'running' THEN $10::bigint ELSE ended_at END,
    due_at = CASE WHEN state = 'running' THEN $11::bigint END
WHERE tenant = $1 AND id = $2 AND part = $3 AND state <> 'done' RETURNING 1

-- name: stop
UPDATE bulk SET state = 'stopped', ended_at = $3, due_at = NULL WHERE tenant = $1 AND id = $2 AND state = 'running' RETURNING 1

-- name: next_due
SELECT due_at FROM bulk WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1
