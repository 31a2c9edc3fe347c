-- Version 3 of the PostgreSQL schema: retention per instance. Never edited once released: a change is a new migration.

-- Instances that have ended and have a retention of their own, by when they are to be removed.
CREATE INDEX instance_retained ON instance (wait_until) WHERE ended_at IS NOT NULL AND wait_until IS NOT NULL;
