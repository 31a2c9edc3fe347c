-- The statements of a claim (claims.py), by name. States are literal, so that the planner finds the partial indexes.

-- name: now
coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)

-- name: are_due
-- What holds for due instances that ran before, except those of excluded queues and workflows.
owner IS NULL AND NOT fresh AND due_at IS NOT NULL AND due_at <= {now}
    AND queue <> ALL($2::text[]) AND key <> ALL($3::bigint[])
    AND NOT EXISTS (
        SELECT 1 FROM unnest($4::text[], $5::text[]) AS c (tenant, workflow)
        WHERE c.tenant = instance.tenant AND c.workflow = instance.workflow
    )

-- name: due_woken
-- The longest due first.
SELECT key, queue FROM instance WHERE {are_due} ORDER BY due_at LIMIT $6 FOR NO KEY UPDATE SKIP LOCKED

-- name: look
-- Everything that most claims need, in one round trip: what is due of the woken, the queues whose turn it is, and the oldest new
-- instances of each of their lanes, after those with a priority, which are among the oldest too. A lane without any has one row, with
-- no key. And when something may be admitted, and how many woken are due, those that others have locked too; when the next
-- of them is.
WITH woken AS MATERIALIZED (
    {due_woken}
), turns AS MATERIALIZED (
    SELECT queue, turn FROM queue WHERE turn > $7 AND queue <> ALL($2::text[]) ORDER BY turn LIMIT $8
    FOR NO KEY UPDATE SKIP LOCKED
), priorities AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM instance WHERE owner IS NULL AND fresh AND due_at IS NOT NULL AND priority > 0) AS are_used
), lanes AS MATERIALIZED (
    SELECT l.queue, l.tenant, l.workflow, l.head, n.key, n.priority
    FROM turns t JOIN lane l ON l.queue = t.queue LEFT JOIN LATERAL (
        (
            SELECT i.key, 0 AS priority FROM instance i
            WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
                AND i.queue = l.queue AND i.tenant = l.tenant AND i.workflow = l.workflow AND i.key > l.head
            ORDER BY i.key LIMIT $6
        ) UNION ALL (
            SELECT i.key, i.priority FROM instance i
            WHERE (SELECT are_used FROM priorities)
                AND i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL AND i.priority > 0
                AND i.queue = l.queue AND i.tenant = l.tenant AND i.workflow = l.workflow
            ORDER BY i.priority DESC, i.key LIMIT $6
        )
    ) n ON true
    ORDER BY l.queue, l.tenant, l.workflow, n.priority DESC, n.key
)
SELECT {now} AS now,
    (SELECT count(*) FROM (SELECT 1 FROM instance WHERE {are_due} LIMIT $6) d) AS due,
    ARRAY(SELECT key FROM woken) AS woken, ARRAY(SELECT queue FROM woken) AS woken_queues,
    ARRAY(SELECT queue FROM turns) AS queues, ARRAY(SELECT turn FROM turns) AS turns,
    (SELECT count(*) FROM (SELECT 1 FROM queue WHERE turn > $7 AND queue <> ALL($2::text[]) ORDER BY turn LIMIT $8) q) AS existing,
    ARRAY(SELECT queue FROM lanes) AS lane_queues, ARRAY(SELECT tenant FROM lanes) AS lane_tenants,
    ARRAY(SELECT workflow FROM lanes) AS lane_workflows, ARRAY(SELECT head FROM lanes) AS lane_heads,
    ARRAY(SELECT key FROM lanes) AS lane_keys, ARRAY(SELECT priority FROM lanes) AS lane_priorities,
    (SELECT at FROM flow_look ORDER BY at LIMIT 1) AS look_at,
    (
        SELECT due_at FROM instance
        WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL AND due_at > {now} ORDER BY due_at LIMIT 1
    ) AS next_at,
    (SELECT boot FROM node WHERE name = $9) AS boot, (SELECT expires_at > coalesce($10::bigint, {now}) FROM node WHERE name = $9) AS leased

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

-- name: take
-- With the queues that had their turn, in its order, and the claims of this second in queues that limit them.
WITH chosen AS MATERIALIZED (
    SELECT key FROM instance WHERE key = ANY($1::bigint[]) AND owner IS NULL AND due_at IS NOT NULL
    ORDER BY key FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE instance i SET owner = $2, execution = i.execution + 1 FROM chosen WHERE i.key = chosen.key RETURNING i.*
), passed AS (
    UPDATE queue q SET turn = n.turn FROM (
        SELECT queue, nextval('queue_turn') AS turn FROM unnest($3::text[]) AS queue
    ) n WHERE q.queue = n.queue
), begun AS (
    UPDATE queue_load l SET begun = CASE WHEN l.second = $6 THEN l.begun ELSE 0 END + n.begun, second = $6
    FROM unnest($4::text[], $5::integer[]) AS n (queue, begun) WHERE l.queue = n.queue
)
SELECT {columns_of_instance} FROM taken i JOIN origin o ON o.instance = i.key

-- name: own_lanes
-- Lanes, and those of these queues, that nobody is creating an instance in, and nobody will before this transaction ends.
WITH queues AS MATERIALIZED (
    SELECT queue FROM queue WHERE queue = ANY($4::text[]) ORDER BY queue FOR UPDATE SKIP LOCKED
), lanes AS MATERIALIZED (
    SELECT l.queue, l.tenant, l.workflow FROM lane l
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS w (queue, tenant, workflow) USING (queue, tenant, workflow)
    ORDER BY l.queue, l.tenant, l.workflow FOR UPDATE OF l SKIP LOCKED
)
SELECT queue, tenant, workflow, queue IN (SELECT queue FROM queues) FROM lanes

-- name: move_heads
-- To before the oldest instance that waits, which is seen by a statement that began after own_lanes; where none waits, to the
-- last that this claim has read. A head that stays behind costs every claim the dead index entries after it, which are many
-- while somebody holds an old snapshot.
UPDATE lane l SET head = n.head FROM (
    SELECT w.queue, w.tenant, w.workflow, coalesce((
        SELECT i.key - 1 FROM instance i
        WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
            AND i.queue = w.queue AND i.tenant = w.tenant AND i.workflow = w.workflow AND i.key > o.head
        ORDER BY i.key LIMIT 1
    ), w.last) AS head
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS w (queue, tenant, workflow, last)
    JOIN lane o USING (queue, tenant, workflow)
) n
WHERE l.queue = n.queue AND l.tenant = n.tenant AND l.workflow = n.workflow AND n.head > l.head

-- name: drop_lanes
-- Those that are still empty, seen by a statement that began after own_lanes, and queues that have no other.
WITH gone AS (
    DELETE FROM lane l USING unnest($1::text[], $2::text[], $3::text[]) AS w (queue, tenant, workflow)
    WHERE l.queue = w.queue AND l.tenant = w.tenant AND l.workflow = w.workflow AND NOT EXISTS (
        SELECT 1 FROM instance i WHERE i.owner IS NULL AND i.fresh AND i.due_at IS NOT NULL
            AND i.queue = l.queue AND i.tenant = l.tenant AND i.workflow = l.workflow AND i.key > l.head
    ) RETURNING l.queue, l.tenant, l.workflow
)
DELETE FROM queue q WHERE q.queue IN (SELECT queue FROM gone) AND NOT EXISTS (
    SELECT 1 FROM lane l WHERE l.queue = q.queue AND (l.queue, l.tenant, l.workflow) NOT IN (SELECT * FROM gone)
)
