-- A version of the SQLite schema: searches (store/search.py). Never edited once released: a change is a new migration.

-- In place of instance_listed: with what a search compares on its way, so that it reads no row.
DROP INDEX instance_listed;
CREATE INDEX instance_found ON instance (tenant, status, key, workflow, created_at, snippet);
CREATE INDEX instance_failed ON instance (tenant, error ->> '$.name', key) WHERE error IS NOT NULL;
-- Open waits by what they wait for, and those that wait for one of several.
CREATE INDEX step_waiting ON step (event_type, instance) WHERE kind = 'wait' AND status = 'open';
CREATE INDEX step_waiting_several ON step (instance) WHERE kind = 'wait' AND status = 'open' AND instr(event_type, ',') > 0;
