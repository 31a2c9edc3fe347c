-- The statements of searches, by name (store/search.py, which puts a walk, its conditions and its order together). `:name` is a value.

-- name: heads
SELECT key, id, status, generation FROM instance WHERE key = ANY($1::bigint[]) ORDER BY key DESC

-- name: is_earlier
-- Whether the first instance from the middle on was created before a time.
coalesce((SELECT created_at < :at FROM instance WHERE key >= (low + high) / 2 ORDER BY key LIMIT 1), false)

-- name: first_key
-- By halving: the first key whose instance was created at a time or later.
WITH RECURSIVE halving (low, high) AS (
    SELECT 1::bigint, (SELECT coalesce(max(key), 0) + 1 FROM instance)
    UNION ALL
    SELECT CASE WHEN {is_earlier} THEN (low + high) / 2 + 1 ELSE low END, CASE WHEN {is_earlier} THEN high ELSE (low + high) / 2 END
    FROM halving WHERE low < high
)
SELECT max(low) FROM halving

-- name: error_name
-- As the index instance_failed has it. Not a JSON function: those refuse a NUL, which an error's message may hold.
substring(i.error from '^\{"name":"([^"\\]*)"')

-- The walks. Each has its index, in its order, and the place where so many candidates end.

-- name: listed
SELECT i.key FROM instance i
WHERE i.tenant = :tenant AND i.status = :status AND i.key < :before AND i.key >= :after

-- name: listed_order
ORDER BY i.key DESC LIMIT :limit

-- name: listed_floor
SELECT key FROM instance
WHERE tenant = :tenant AND status = :status AND key < :before AND key >= :after ORDER BY key DESC LIMIT 1 OFFSET :skipped

-- name: count_tag
SELECT count(*) FROM (SELECT 1 FROM tag WHERE tenant = :tenant AND tag = :tag0 LIMIT :most) AS c

-- name: tagged
SELECT i.key FROM tag t JOIN instance i ON i.key = t.instance
WHERE t.tenant = :tenant AND t.tag = :tag0 AND t.instance < :before AND t.instance >= :after

-- name: tagged_order
ORDER BY t.instance DESC LIMIT :limit

-- name: tagged_floor
SELECT instance FROM tag
WHERE tenant = :tenant AND tag = :tag0 AND instance < :before AND instance >= :after ORDER BY instance DESC LIMIT 1 OFFSET :skipped

-- name: failed
SELECT i.key FROM instance i
WHERE i.error IS NOT NULL AND i.tenant = :tenant AND {error_name} = :error AND i.key < :before AND i.key >= :after

-- name: failed_order
ORDER BY i.key DESC LIMIT :limit

-- name: failed_floor
SELECT i.key FROM instance i
WHERE i.error IS NOT NULL AND i.tenant = :tenant AND {error_name} = :error AND i.key < :before AND i.key >= :after
ORDER BY i.key DESC LIMIT 1 OFFSET :skipped

-- name: count_waits
SELECT count(*) FROM (
    SELECT 1 FROM step_open WHERE kind = 'wait' AND status = 'open' AND event_type = :waiting_for
    UNION ALL
    SELECT 1 FROM step_open
    WHERE kind = 'wait' AND status = 'open' AND position(',' in event_type) > 0 LIMIT :most
) AS c

-- name: waiting
-- All of them, which are few, sorted. An array: joined, the planner would expect many and read the whole table.
SELECT i.key FROM instance i
WHERE i.key = ANY(ARRAY(
    SELECT instance FROM step_open WHERE kind = 'wait' AND status = 'open' AND event_type = :waiting_for
    UNION
    SELECT instance FROM step_open
    WHERE kind = 'wait' AND status = 'open' AND position(',' in event_type) > 0
        AND position(',' || :waiting_for::text || ',' in ',' || event_type || ',') > 0
)) AND i.tenant = :tenant AND i.key < :before AND i.key >= :after

-- name: waiting_order
ORDER BY i.key DESC LIMIT :limit

-- name: waiting_floor
SELECT 1 WHERE :skipped::int < 0

-- The conditions beside a walk. Not EXISTS: of that the planner may make a join with the whole table.

-- name: of_statuses
i.status = ANY(:statuses::text[])

-- name: of_workflow
i.workflow = :workflow

-- name: of_version
i.snippet = :version

-- name: since
i.created_at >= :since

-- name: until
i.created_at < :until

-- name: tag0
(SELECT true FROM tag o WHERE o.tenant = i.tenant AND o.tag = :tag0 AND o.instance = i.key LIMIT 1)

-- name: tag1
(SELECT true FROM tag o WHERE o.tenant = i.tenant AND o.tag = :tag1 AND o.instance = i.key LIMIT 1)

-- name: tag2
(SELECT true FROM tag o WHERE o.tenant = i.tenant AND o.tag = :tag2 AND o.instance = i.key LIMIT 1)

-- name: tag3
(SELECT true FROM tag o WHERE o.tenant = i.tenant AND o.tag = :tag3 AND o.instance = i.key LIMIT 1)

-- name: tag4
(SELECT true FROM tag o WHERE o.tenant = i.tenant AND o.tag = :tag4 AND o.instance = i.key LIMIT 1)

-- name: unfinished
i.ended_at IS NULL

-- name: waits
i.ended_at IS NULL AND (
    SELECT true FROM step_open s
    WHERE s.instance = i.key AND s.kind = 'wait' AND s.status = 'open'
        AND position(',' || :waiting_for::text || ',' in ',' || s.event_type || ',') > 0
    LIMIT 1
)

-- name: of_error
i.error IS NOT NULL AND {error_name} = :error

-- name: has_text
i.error IS NOT NULL AND position(:text::text in lower(i.error)) > 0
