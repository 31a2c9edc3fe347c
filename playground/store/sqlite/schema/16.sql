-- A version of the SQLite schema: queues of messages. Never edited once released: a change is a new migration.

-- A tenant's queues; `settings` is JSON (store/messages.py).
CREATE TABLE message_queue (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- A message waits, or is in the delivery that is named, or is dead. `taken` counts its deliveries, `tries` those since it was sent, revived or
-- moved to another queue.
CREATE TABLE message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    content_type TEXT NOT NULL,
    body TEXT NOT NULL,
    delivery TEXT,
    dead_at INTEGER,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX message_waiting ON message (tenant, queue, due_at, number) WHERE delivery IS NULL AND dead_at IS NULL;
CREATE INDEX message_due ON message (due_at) WHERE delivery IS NULL AND dead_at IS NULL;
CREATE INDEX message_delivery ON message (tenant, queue, delivery) WHERE delivery IS NOT NULL;
CREATE INDEX message_dead ON message (tenant, queue, dead_at, number) WHERE dead_at IS NOT NULL;
