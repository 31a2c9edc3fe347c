-- All statements on queues of messages (messages.py), by name.

-- name: put_queue
-- Counted in the statement that writes, so that two concurrent calls cannot both take the last place.
INSERT INTO message_queue (tenant, name, settings)
SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM message_queue WHERE tenant = ?1 AND name <> ?2) < ?4
ON CONFLICT DO UPDATE SET settings = excluded.settings

-- name: queue
SELECT settings FROM message_queue WHERE tenant = ? AND name = ?

-- name: queues
SELECT name, settings,
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND delivery IS NULL AND dead_at IS NULL),
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND delivery IS NOT NULL),
    (SELECT count(*) FROM message m WHERE m.tenant = q.tenant AND m.queue = q.name AND dead_at IS NOT NULL)
FROM message_queue q WHERE tenant = ? ORDER BY name

-- name: delete_queue
DELETE FROM message_queue WHERE tenant = ? AND name = ?

-- name: delete_messages
DELETE FROM message WHERE tenant = ? AND queue = ?

-- name: count
SELECT count(*) FROM message WHERE tenant = ?

-- name: send
INSERT INTO message (tenant, queue, id, sent_at, due_at, content_type, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING

-- name: ready_queues
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
WHERE m.due_at <= ? AND (json_extract(q.settings, '$.metadata') IS NOT NULL) = ?

-- name: open_of_queue
SELECT count(DISTINCT delivery) FROM message WHERE tenant = ? AND queue = ? AND delivery IS NOT NULL

-- name: open_of_tenant
SELECT count(*) FROM (SELECT DISTINCT queue, delivery FROM message WHERE tenant = ? AND delivery IS NOT NULL) AS open

-- name: ready
SELECT number, due_at, taken, length(body) FROM message
WHERE tenant = ? AND queue = ? AND delivery IS NULL AND dead_at IS NULL AND due_at <= ?
ORDER BY due_at, number LIMIT ?

-- name: take
UPDATE message SET delivery = ?, taken = taken + 1, tries = tries + 1 WHERE number = ?

-- name: next_due
SELECT min(due_at) FROM message INDEXED BY message_due WHERE delivery IS NULL AND dead_at IS NULL

-- name: next_due_after
SELECT min(due_at) FROM message INDEXED BY message_due WHERE delivery IS NULL AND dead_at IS NULL AND due_at > ?

-- name: open_deliveries
SELECT d.tenant, d.queue, d.delivery
FROM (SELECT DISTINCT tenant, queue, delivery FROM message WHERE delivery IS NOT NULL) d
JOIN message_queue q ON q.tenant = d.tenant AND q.name = d.queue
WHERE (json_extract(q.settings, '$.metadata') IS NOT NULL) = ? LIMIT ?

-- name: delivered
SELECT id, sent_at, tries, content_type, body, dead_at FROM message
WHERE tenant = ? AND queue = ? AND delivery = ? ORDER BY due_at, number

-- name: ack
DELETE FROM message WHERE tenant = ? AND queue = ? AND delivery = ? AND id = ?

-- name: due_again
UPDATE message SET delivery = NULL, due_at = ? WHERE tenant = ? AND queue = ? AND delivery = ? AND id = ?

-- name: die
UPDATE message SET delivery = NULL, dead_at = ? WHERE tenant = ? AND queue = ? AND delivery = ? AND id = ?

-- name: move
UPDATE message SET delivery = NULL, queue = ?, due_at = ?, tries = 0 WHERE tenant = ? AND queue = ? AND delivery = ? AND id = ?

-- name: dead
SELECT id, sent_at, tries, content_type, body, dead_at FROM message
WHERE tenant = ? AND queue = ? AND dead_at IS NOT NULL ORDER BY dead_at, number LIMIT ?

-- name: revive
UPDATE message SET dead_at = NULL, tries = 0, due_at = ? WHERE tenant = ? AND queue = ? AND id = ? AND dead_at IS NOT NULL

-- name: delete_dead
DELETE FROM message WHERE tenant = ? AND queue = ? AND id = ? AND dead_at IS NOT NULL
