-- All statements on schedules, by name (schedules.py).

-- name: columns
tenant, name, workflow, cron, timezone, params, metadata, missed, paused, next_at, due_at, revision, created_at, last_at, last_id,
    last_error

-- name: family
-- A workflow's name up to its first /.
substr(workflow || '/', 1, instr(workflow || '/', '/') - 1)

-- name: put
-- Counted in the statement that writes, so that two concurrent calls cannot both take the last place.
INSERT INTO schedule ({columns})
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16
WHERE (SELECT count(*) FROM schedule WHERE tenant = ?1 AND name <> ?2) < ?17
ON CONFLICT DO UPDATE SET workflow = ?3, cron = ?4, timezone = ?5, params = ?6, metadata = ?7, missed = ?8, paused = ?9, next_at = ?10,
    due_at = ?11, revision = ?12

-- name: get
SELECT {columns} FROM schedule WHERE tenant = ? AND name = ?

-- name: of_tenant
SELECT {columns} FROM schedule WHERE tenant = ? ORDER BY name

-- name: delete
DELETE FROM schedule WHERE tenant = ? AND name = ?

-- name: take_due
UPDATE schedule SET due_at = ?2 WHERE (tenant, name) IN (
    SELECT tenant, name FROM schedule INDEXED BY schedule_due WHERE due_at IS NOT NULL AND due_at <= ?1
        AND {family} IN (SELECT value FROM json_each(?4))
    ORDER BY due_at LIMIT ?3
) RETURNING {columns}

-- name: fired
UPDATE schedule SET next_at = ?4, due_at = ?5, last_at = ?6, last_id = ?7, last_error = ?8
WHERE tenant = ?1 AND name = ?2 AND revision = ?3

-- name: next_due
SELECT due_at FROM schedule INDEXED BY schedule_due
WHERE due_at IS NOT NULL AND {family} IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT 1
