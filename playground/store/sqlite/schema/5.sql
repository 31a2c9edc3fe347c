-- Version 5 of the SQLite schema: in which order steps ended, so that replay goes the way of the first execution. Never edited once released.

-- The seq of the event that ended a step, the workflow's clock at end and start in microseconds (NULL: no worker sent it), and the seq of the event
-- that a wait received.
ALTER TABLE step ADD COLUMN started_clock INTEGER;
ALTER TABLE step ADD COLUMN ended_seq INTEGER;
ALTER TABLE step ADD COLUMN clock INTEGER;
ALTER TABLE step ADD COLUMN received INTEGER;

-- The workflow's clock when a worker last had only waits left.
ALTER TABLE instance ADD COLUMN clock INTEGER;

-- Older journals contain the order too. Of a step that ended in several generations the last counts.
CREATE TEMP TABLE ended AS
    SELECT instance, json_extract(step, '$.kind') AS kind, json_extract(step, '$.name') AS name, json_extract(step, '$.count') AS count,
        max(seq) AS seq, max(json_extract(data, '$.received')) AS received
    FROM event
    WHERE type IN ('step_completed', 'step_errored', 'sleep_completed', 'wait_completed', 'wait_timed_out', 'step_copied')
    GROUP BY 1, 2, 3, 4;
CREATE INDEX temp.ended_key ON ended (instance, kind, name, count);
UPDATE step SET (ended_seq, received) = (
    SELECT ended.seq, ended.received FROM ended
    WHERE ended.instance = step.instance AND ended.kind = step.kind AND ended.name = step.name AND ended.count = step.count
) WHERE status IN ('completed', 'errored');
DROP TABLE ended;
