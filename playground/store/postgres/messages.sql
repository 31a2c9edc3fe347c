-- All statements on queues of messages (messages.py), by name.

-- name: put_queue
INSERT INTO message_queue (tenant, name, settings)
SELECT $1, $2, $3 WHERE (SELECT count(*) FROM message_queue WHERE tenant = $1 AND name <> $2) < $4
ON CONFLICT (tenant, name) DO UPDATE SET settings = excluded.settings RETURNING 1

-- name: queue
SELECT settings FROM message_queue WHERE tenant = $1 AND name = $2

-- name: lock_queue
-- Whoever takes from the queue, or sends many messages to it, goes one after the other.
SELECT settings FROM message_queue WHERE tenant = $1 AND name = $2 FOR UPDATE

-- name: queues
SELECT name, settings,
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND delivery IS NULL AND dead_at IS NULL),
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND delivery IS NOT NULL),
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND dead_at IS NOT NULL)
FROM message_queue q WHERE tenant = $1 ORDER BY name

-- name: delete_queue
DELETE FROM message_queue WHERE tenant = $1 AND name = $2 RETURNING 1

-- name: delete_messages
DELETE FROM message WHERE tenant = $1 AND queue = $2

-- name: count
SELECT count(*) FROM message WHERE tenant = $1

-- name: send
INSERT INTO message (tenant, queue, id, sent_at, due_at, content_type, body)
SELECT $1, $2, n.* FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) AS n
ON CONFLICT (tenant, id) DO NOTHING

-- name: ready_queues
-- Programs' queues, whose settings hold metadata, or all others. Those that another node takes from now are left to it.
-- From the first waiting message of one queue to that of the next, so that neither idle queues, of which there are as many
-- as runs that have sent something, nor long ones cost anything.
WITH RECURSIVE head (number) AS (
    SELECT (
        SELECT number FROM message WHERE delivery IS NULL AND dead_at IS NULL
        ORDER BY tenant, queue, due_at, number LIMIT 1
    )
    UNION ALL
    SELECT coalesce((
        SELECT n.number FROM message n WHERE n.delivery IS NULL AND n.dead_at IS NULL
            AND n.tenant = m.tenant AND n.queue > m.queue ORDER BY n.queue, n.due_at, n.number LIMIT 1
    ), (
        SELECT n.number FROM message n WHERE n.delivery IS NULL AND n.dead_at IS NULL
            AND n.tenant > m.tenant ORDER BY n.tenant, n.queue, n.due_at, n.number LIMIT 1
    )) FROM head h JOIN message m ON m.number = h.number
)
SELECT q.tenant, q.name, q.settings FROM head h JOIN message m ON m.number = h.number
JOIN message_queue q ON q.tenant = m.tenant AND q.name = m.queue
WHERE m.due_at <= $1 AND ((q.settings::json ->> 'metadata') IS NOT NULL) = $2::boolean
ORDER BY q.tenant, q.name FOR UPDATE OF q SKIP LOCKED

-- name: open_of_queue
SELECT count(DISTINCT delivery) FROM message WHERE tenant = $1 AND queue = $2 AND delivery IS NOT NULL

-- name: open_of_tenant
SELECT count(*) FROM (SELECT DISTINCT queue, delivery FROM message WHERE tenant = $1 AND delivery IS NOT NULL) AS open

-- name: ready
SELECT number, due_at, taken, octet_length(body) FROM message
WHERE tenant = $1 AND queue = $2 AND delivery IS NULL AND dead_at IS NULL AND due_at <= $3
ORDER BY due_at, number LIMIT $4

-- name: take
UPDATE message SET delivery = $1, taken = taken + 1, tries = tries + 1 WHERE number = ANY($2::bigint[])

-- name: next_due
SELECT min(due_at) FROM message WHERE delivery IS NULL AND dead_at IS NULL

-- name: next_due_after
SELECT min(due_at) FROM message WHERE delivery IS NULL AND dead_at IS NULL AND due_at > $1

-- name: open_deliveries
SELECT d.tenant, d.queue, d.delivery
FROM (SELECT DISTINCT tenant, queue, delivery FROM message WHERE delivery IS NOT NULL) d
JOIN message_queue q ON q.tenant = d.tenant AND q.name = d.queue
WHERE ((q.settings::json ->> 'metadata') IS NOT NULL) = $2::boolean LIMIT $1

-- name: delivered
SELECT id, sent_at, tries, content_type, body, dead_at FROM message
WHERE tenant = $1 AND queue = $2 AND delivery = $3 ORDER BY due_at, number

-- name: ack
DELETE FROM message WHERE tenant = $1 AND queue = $2 AND delivery = $3 AND id = ANY($4::text[])

-- name: due_again
UPDATE message m SET delivery = NULL, due_at = n.due_at FROM unnest($4::text[], $5::bigint[]) AS n (id, due_at)
WHERE m.tenant = $1 AND m.queue = $2 AND m.delivery = $3 AND m.id = n.id

-- name: die
UPDATE message SET delivery = NULL, dead_at = $5 WHERE tenant = $1 AND queue = $2 AND delivery = $3 AND id = ANY($4::text[])

-- name: move
UPDATE message SET delivery = NULL, queue = $6, due_at = $5, tries = 0
WHERE tenant = $1 AND queue = $2 AND delivery = $3 AND id = ANY($4::text[])

-- name: dead
SELECT id, sent_at, tries, content_type, body, dead_at FROM message
WHERE tenant = $1 AND queue = $2 AND dead_at IS NOT NULL ORDER BY dead_at, number LIMIT $3

-- name: revive
UPDATE message SET dead_at = NULL, tries = 0, due_at = $4
WHERE tenant = $1 AND queue = $2 AND id = $3 AND dead_at IS NOT NULL RETURNING 1

-- name: delete_dead
DELETE FROM message WHERE tenant = $1 AND queue = $2 AND id = $3 AND dead_at IS NOT NULL RETURNING 1
