-- The statements of alerts (store/alerts.py).

-- name: chore_until
SELECT until FROM chore WHERE name = ?

-- name: count_failed
SELECT count(*) FROM instance
WHERE ended_at > ?1 AND ended_at <= ?2 AND status = 'errored' AND tenant >= ?3 AND queue NOT LIKE 'chaos:%'

-- name: failed
SELECT tenant, id, workflow, generation, ended_at, coalesce(error ->> '$.name', '') FROM instance
WHERE ended_at > ?1 AND ended_at <= ?2 AND status = 'errored' AND tenant >= ?3 AND queue NOT LIKE 'chaos:%'
ORDER BY ended_at, key LIMIT ?4
