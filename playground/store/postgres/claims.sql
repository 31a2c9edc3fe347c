-- The statements of a claim (claims.py), by name. States are literal, so that the planner finds the partial indexes.

-- name: woken
-- Due instances that ran before, longest due first, except those of excluded queues and workflows.
SELECT key, queue, tenant, workflow FROM instance
WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL AND due_at <= $1
    AND queue <> ALL($2::text[]) AND key <> ALL($6::bigint[])
    AND NOT EXISTS (
        SELECT 1 FROM unnest($3::text[], $4::text[]) AS c (tenant, workflow)
        WHERE c.tenant = instance.tenant AND c.workflow = instance.workflow
    )
ORDER BY due_at LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_loads
SELECT queue FROM queue_load WHERE queue = ANY($1::text[]) ORDER BY queue FOR UPDATE SKIP LOCKED

-- name: insert_loads
INSERT INTO queue_load (queue, second, begun)
SELECT q, 0, 0 FROM unnest($1::text[]) AS q ORDER BY q ON CONFLICT DO NOTHING

-- name: loads
-- Read once the queues are locked. More than the limit need not be counted.
SELECT w.queue,
    (SELECT count(*) FROM (SELECT 1 FROM instance i WHERE i.owner IS NOT NULL AND i.queue = w.queue LIMIT w.most) r),
    (SELECT CASE WHEN l.second = $3 THEN l.begun ELSE 0 END FROM queue_load l WHERE l.queue = w.queue)
FROM unnest($1::text[], $2::bigint[]) AS w (queue, most)

-- name: count_begun
UPDATE queue_load l SET begun = CASE WHEN l.second = $3 THEN l.begun ELSE 0 END + n.begun, second = $3
FROM unnest($1::text[], $2::integer[]) AS n (queue, begun) WHERE l.queue = n.queue

-- name: drop_idle_loads
DELETE FROM queue_load WHERE queue IN (SELECT queue FROM queue_load WHERE second < $1 FOR UPDATE SKIP LOCKED)

-- name: queues_in_turn
SELECT queue, turn FROM queue WHERE turn > $1 AND queue <> ALL($2::text[]) ORDER BY turn LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED

-- name: count_queues
SELECT count(*) FROM (SELECT 1 FROM queue WHERE turn > $1 AND queue <> ALL($2::text[]) ORDER BY turn LIMIT $3) q

-- name: candidates
-- The oldest new instances of each lane of these queues. A lane without any has one row, with no key.
SELECT l.queue, l.tenant, l.workflow, l.head, n.key
FROM lane l LEFT JOIN LATERAL (
    SELECT i.key FROM instance i
    WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
        AND i.queue = l.queue AND i.tenant = l.tenant AND i.workflow = l.workflow AND i.key > l.head
    ORDER BY i.key LIMIT $2
) n ON true
WHERE l.queue = ANY($1::text[]) ORDER BY l.queue, l.tenant, l.workflow, n.key

-- name: take
WITH chosen AS MATERIALIZED (
    SELECT key FROM instance WHERE key = ANY($1::bigint[]) AND owner IS NULL AND due_at IS NOT NULL
    ORDER BY key FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE instance i SET owner = $2, execution = i.execution + 1 FROM chosen WHERE i.key = chosen.key RETURNING i.*
)
SELECT {columns_of_instance} FROM taken i JOIN origin o ON o.instance = i.key

-- name: pass_turns
-- In the order of the array.
UPDATE queue q SET turn = n.turn FROM (
    SELECT queue, nextval('queue_turn') AS turn FROM unnest($1::text[]) AS queue
) n WHERE q.queue = n.queue

-- name: own_lanes
-- Lanes that nobody is creating an instance in, and nobody will before this transaction ends.
SELECT l.queue, l.tenant, l.workflow FROM lane l
JOIN unnest($1::text[], $2::text[], $3::text[]) AS w (queue, tenant, workflow) USING (queue, tenant, workflow)
ORDER BY l.queue, l.tenant, l.workflow FOR UPDATE OF l SKIP LOCKED

-- name: move_heads
-- To before the oldest instance that waits, which is seen by a statement that began after own_lanes.
UPDATE lane l SET head = n.head FROM (
    SELECT w.queue, w.tenant, w.workflow, (
        SELECT i.key - 1 FROM instance i
        WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
            AND i.queue = w.queue AND i.tenant = w.tenant AND i.workflow = w.workflow AND i.key > o.head
        ORDER BY i.key LIMIT 1
    ) AS head
    FROM unnest($1::text[], $2::text[], $3::text[]) AS w (queue, tenant, workflow)
    JOIN lane o USING (queue, tenant, workflow)
) n
WHERE l.queue = n.queue AND l.tenant = n.tenant AND l.workflow = n.workflow AND n.head > l.head

-- name: drop_lanes
DELETE FROM lane l USING unnest($1::text[], $2::text[], $3::text[]) AS w (queue, tenant, workflow)
WHERE l.queue = w.queue AND l.tenant = w.tenant AND l.workflow = w.workflow AND NOT EXISTS (
    SELECT 1 FROM instance i WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
        AND i.queue = l.queue AND i.tenant = l.tenant AND i.workflow = l.workflow AND i.key > l.head
)

-- name: own_queues
SELECT queue FROM queue WHERE queue = ANY($1::text[]) ORDER BY queue FOR UPDATE SKIP LOCKED

-- name: drop_queues
DELETE FROM queue q WHERE q.queue = ANY($1::text[]) AND NOT EXISTS (SELECT 1 FROM lane l WHERE l.queue = q.queue)
