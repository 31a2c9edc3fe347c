-- Version 4 of the SQLite schema: what is done to instances on purpose. Never edited once released: a change is a new migration.

-- JSON: breaks of steps, the kill of a chaos run. NULL for nearly all.
ALTER TABLE instance ADD COLUMN injected TEXT;

-- The reruns of chaos runs, which are deleted earlier than others. The queue's name says what they are (see engine/queues.py).
CREATE INDEX instance_ended_chaos ON instance (ended_at) WHERE ended_at IS NOT NULL AND queue >= 'chaos:' AND queue < 'chaos;';
