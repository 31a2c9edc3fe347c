-- Version 4 of the SQLite schema: injected faults. Never edited once released: a change is a new migration.

-- JSON: breaks of steps, the kill of a chaos run. NULL for nearly all.
ALTER TABLE instance ADD COLUMN injected TEXT;

-- The reruns of chaos runs, which expire earlier than others. Their queue's name marks them (engine/queues.py).
CREATE INDEX instance_ended_chaos ON instance (ended_at) WHERE ended_at IS NOT NULL AND queue >= 'chaos:' AND queue < 'chaos;';
