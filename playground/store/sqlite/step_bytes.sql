-- All statements on the parts of large bytes (step_bytes.py), by name, but for those of a restart, a fork and a deletion,
-- which are in queries.sql.

-- name: is_played
SELECT 1 FROM instance WHERE key = ? AND execution = ? AND owner IS NOT NULL

-- name: drop
DELETE FROM step_part WHERE instance = ? AND name = ? AND count = ?

-- name: put
INSERT INTO step_part (instance, name, count, number, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET data = excluded.data

-- name: part
SELECT data FROM step_part WHERE instance = ? AND name = ? AND count = ? AND number = ?
