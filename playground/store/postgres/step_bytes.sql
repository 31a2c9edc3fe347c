-- All statements on the parts of large bytes (step_bytes.py), by name, but for those of a restart, a fork and a deletion,
-- which are in queries.sql.

-- name: is_played
-- Nobody claims it meanwhile, so that no part of an execution that is over comes after one of the next.
SELECT 1 FROM instance WHERE key = $1 AND execution = $2 AND owner IS NOT NULL FOR SHARE

-- name: drop
DELETE FROM step_part WHERE instance = $1 AND name = $2 AND count = $3

-- name: put
INSERT INTO step_part (instance, name, count, number, data) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (instance, name, count, number) DO UPDATE SET data = excluded.data

-- name: part
SELECT data FROM step_part WHERE instance = $1 AND name = $2 AND count = $3 AND number = $4
