-- Version 8 of the SQLite schema: a result is stored once. Never edited once released: a change is a new migration.

-- The seq of the event that holds the step's result. NULL where there is none, and where the step's row holds the result,
-- because the event shows something else ([REDACTED]) or the result is encrypted. It is not always `ended_seq`, which of a
-- copied step is its place among those that ended.
ALTER TABLE step ADD COLUMN result_seq INTEGER;

-- A result that equals the event's is deleted from the step.
UPDATE step SET result = NULL, result_seq = started_seq
WHERE result IS NOT NULL AND EXISTS (
    SELECT 1 FROM event
    WHERE event.instance = step.instance AND event.seq = step.started_seq
        AND event.type = 'step_copied' AND event.data -> '$.output' = step.result
);
UPDATE step SET result = NULL, result_seq = ended_seq
WHERE result IS NOT NULL AND EXISTS (
    SELECT 1 FROM event
    WHERE event.instance = step.instance AND event.seq = step.ended_seq AND (
        (event.type = 'step_completed' AND event.data -> '$.output' = step.result)
        OR (event.type = 'wait_completed' AND event.data -> '$.event' = step.result)
    )
);
