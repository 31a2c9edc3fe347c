-- A version of the PostgreSQL schema: searches (store/search.py). Never edited once released: a change is a new migration.

-- In place of instance_listed: with what a search compares on its way, so that it reads no row.
CREATE INDEX instance_found ON instance (tenant, status, key) INCLUDE (workflow, created_at, snippet);
DROP INDEX instance_listed;
CREATE INDEX instance_failed ON instance (tenant, (substring(error from '^\{"name":"([^"\\]*)"')), key) WHERE error IS NOT NULL;
-- Open waits by what they wait for, and those that wait for one of several.
CREATE INDEX step_waiting ON step_open (event_type, instance) WHERE kind = 'wait' AND status = 'open';
CREATE INDEX step_waiting_several ON step_open (instance) WHERE kind = 'wait' AND status = 'open' AND position(',' in event_type) > 0;
