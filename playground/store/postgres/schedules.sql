-- All statements on schedules, by name (schedules.py).

-- name: columns
tenant, name, workflow, cron, timezone, params, metadata, missed, paused, next_at, due_at, revision, created_at, last_at, last_id,
    last_error

-- name: lock_tenant
-- Until the transaction ends, nobody else adds a schedule of this tenant.
SELECT pg_advisory_xact_lock(hashtextextended('schedules ' || $1, 0))

-- name: put
INSERT INTO schedule ({columns})
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::bigint, $11::bigint, $12, $13::bigint, $14::bigint, $15, $16
WHERE (SELECT count(*) FROM schedule WHERE tenant = $1 AND name <> $2) < $17
ON CONFLICT (tenant, name) DO UPDATE SET workflow = $3, cron = $4, timezone = $5, params = $6, metadata = $7, missed = $8, paused = $9,
    next_at = $10, due_at = $11, revision = $12
RETURNING 1

-- name: get
SELECT {columns} FROM schedule WHERE tenant = $1 AND name = $2

-- name: of_tenant
SELECT {columns} FROM schedule WHERE tenant = $1 ORDER BY name

-- name: delete
DELETE FROM schedule WHERE tenant = $1 AND name = $2 RETURNING 1

-- name: take_due
WITH due AS (
    SELECT tenant AS t, name AS n FROM schedule
    WHERE due_at IS NOT NULL AND due_at <= $1 AND split_part(workflow, '/', 1) = ANY($4::text[])
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE schedule SET due_at = $2 FROM due WHERE tenant = t AND name = n RETURNING {columns}

-- name: fired
UPDATE schedule s SET next_at = n.next_at, due_at = n.due_at, last_at = n.last_at, last_id = n.last_id, last_error = n.last_error
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[])
    AS n (tenant, name, revision, next_at, due_at, last_at, last_id, last_error)
WHERE s.tenant = n.tenant AND s.name = n.name AND s.revision = n.revision RETURNING 1

-- name: next_due
SELECT due_at FROM schedule WHERE due_at IS NOT NULL AND split_part(workflow, '/', 1) = ANY($1::text[]) ORDER BY due_at LIMIT 1
