-- The parts of the one statement that a commit is (write.py). :1, :2 ... are the part's own columns, arrays but for `head`'s first two.
-- What follows in a part happens for the instances in `moved` only: those that were as the writer knew them. A part leaves out the few
-- that are not (`kept`) rather than joining those that are: of `moved` the planner expects one row, so that a join with it
-- compares each with each.

-- name: kept
<> ALL (ARRAY(SELECT key FROM refused))

-- name: head
-- The lock order is that of keys. Rows that somebody else holds are left out, so that nobody waits for anybody.
WITH turn AS MATERIALIZED (
    SELECT 1 FROM writer WHERE id = :1::text AND commits = :2::bigint - 1 FOR UPDATE
), input AS (
    SELECT * FROM unnest(
        :3::bigint[], :4::bigint[], :5::integer[], :6::text[], :7::bigint[], :8::bigint[], :9::bigint[], :10::bigint[],
        :11::bigint[], :12::boolean[]
    ) AS t (key, was_seq, was_execution, was_owner, last_seq, log_bytes, stored_bytes, clock, clock_at, thin)
), locked AS MATERIALIZED (
    SELECT i.key FROM input JOIN instance i ON i.key = input.key
    WHERE i.last_seq = input.was_seq AND i.execution = input.was_execution AND i.owner IS NOT DISTINCT FROM input.was_owner
    ORDER BY i.key FOR NO KEY UPDATE OF i SKIP LOCKED
), moved AS MATERIALIZED (
    SELECT key FROM locked WHERE :1::text IS NULL OR EXISTS (SELECT FROM turn)
), refused AS MATERIALIZED (
    SELECT key FROM input EXCEPT SELECT key FROM moved
), thin AS (
    UPDATE instance i
    SET last_seq = n.last_seq, log_bytes = n.log_bytes, stored_bytes = n.stored_bytes, clock = n.clock, clock_at = n.clock_at
    FROM input n WHERE i.key = n.key AND n.thin AND n.key {kept}
)

-- name: full
, full_rows AS (
    UPDATE instance i SET snippet = n.snippet, status = n.status, generation = n.generation, execution = n.execution,
        last_seq = n.last_seq, owner = n.owner, due_at = n.due_at, wait_until = n.wait_until, fresh = n.fresh,
        in_execution = n.in_execution, log_bytes = n.log_bytes, stored_bytes = n.stored_bytes, output = n.output,
        error = n.error, rollback = n.rollback, started_at = n.started_at, ended_at = n.ended_at, paused_at = n.paused_at,
        injected = n.injected, clock = n.clock, crashes = n.crashes, clock_at = n.clock_at,
        held_until = n.held_until
    FROM unnest(
        :1::text[], :2::text[], :3::integer[], :4::integer[], :5::bigint[], :6::text[], :7::bigint[], :8::bigint[],
        :9::boolean[], :10::boolean[], :11::bigint[], :12::bigint[], :13::text[], :14::text[], :15::text[], :16::bigint[],
        :17::bigint[], :18::bigint[], :19::text[], :20::bigint[], :21::integer[], :22::bigint[], :23::bigint[], :24::bigint[]
    ) AS n (snippet, status, generation, execution, last_seq, owner, due_at, wait_until, fresh, in_execution, log_bytes,
        stored_bytes, output, error, rollback, started_at, ended_at, paused_at, injected, clock, crashes, clock_at, held_until,
        key)
    WHERE i.key = n.key AND n.key {kept}
)

-- name: create
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        :1::bigint[], :2::text[], :3::text[], :4::text[], :5::text[], :6::text[], :7::text[], :8::integer[], :9::integer[],
        :10::bigint[], :11::text[], :12::bigint[], :13::bigint[], :14::boolean[], :15::boolean[], :16::bigint[],
        :17::bigint[], :18::text[], :19::text[], :20::text[], :21::bigint[], :22::bigint[], :23::bigint[], :24::bigint[],
        :25::text[], :26::bigint[], :27::integer[], :28::bigint[], :29::text[], :30::integer[], :31::bigint[]
    ) AS n (key, tenant, id)
), moved AS (
    INSERT INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq, owner,
        due_at, wait_until, fresh, in_execution, log_bytes, stored_bytes, output, error, rollback, created_at, started_at,
        ended_at, paused_at, injected, clock, crashes, clock_at, flow_key, priority, held_until)
    SELECT * FROM input ORDER BY tenant, id
    ON CONFLICT (tenant, id) DO NOTHING RETURNING key
), refused AS MATERIALIZED (
    SELECT key FROM input EXCEPT SELECT key FROM moved
)

-- name: origins
, origins AS (
    INSERT INTO origin (instance, class_name, params, control_hash, metadata, limits, nonce, id_chosen)
    SELECT n.* FROM unnest(
        :1::bigint[], :2::text[], :3::text[], :4::text[], :5::text[], :6::text[], :7::text[], :8::boolean[]
    ) AS n (key) WHERE n.key {kept}
)

-- name: children
, children AS (
    INSERT INTO child (instance, parent, kind)
    SELECT n.* FROM unnest(:1::bigint[], :2::bigint[], :3::text[]) AS n (key) WHERE n.key {kept}
)

-- name: looks
-- Each note is of an instance whose row this has locked, so that nobody else writes it.
, looks AS (
    INSERT INTO flow_look (at, instance, tenant, workflow, flow_key)
    SELECT n.at, n.key, n.tenant, n.workflow, n.flow_key FROM unnest(
        :1::bigint[], :2::bigint[], :3::text[], :4::text[], :5::text[]
    ) AS n (at, key, tenant, workflow, flow_key) WHERE n.key {kept} ON CONFLICT DO NOTHING
)

-- name: params
, params AS (
    UPDATE origin o SET params = n.params
    FROM unnest(:1::bigint[], :2::text[]) AS n (key, params) WHERE n.key {kept} AND o.instance = n.key
)

-- name: awaited
, awaited_children AS (
    INSERT INTO awaited (instance, parent, name, count, started_seq, cascades)
    SELECT n.* FROM unnest(
        :1::bigint[], :2::bigint[], :3::text[], :4::integer[], :5::bigint[], :6::boolean[]
    ) AS n (key) WHERE n.key {kept}
)

-- name: events
, events AS (
    INSERT INTO event (instance, seq, at, type, execution, step, data)
    SELECT n.* FROM unnest(
        :1::bigint[], :2::bigint[], :3::bigint[], :4::text[], :5::integer[], :6::text[], :7::text[]
    ) AS n (key) WHERE n.key {kept}
)

-- name: of_steps
unnest(
        :1::bigint[], :2::integer[], :3::text[], :4::text[], :5::integer[], :6::text[], :7::bigint[], :8::integer[],
        :9::text[], :10::integer[], :11::integer[], :12::integer[], :13::bigint[], :14::text[], :15::text[], :16::text[],
        :17::integer[], :18::integer[], :19::bigint[], :20::bigint[], :21::text[], :22::bigint[], :23::bigint[],
        :24::bigint[], :25::bigint[], :26::bigint[], :27::text[]
    )

-- name: columns_of_steps
instance, generation, kind, name, count, status, started_seq, line, config, attempt, failures, losses, until, event_type,
    rollback, rollback_config, rollback_attempt, rollback_failures, rollback_until, result_bytes, error, started_clock,
    ended_seq, clock, received, result_seq, result

-- name: changed_of_step
status = n.status, attempt = n.attempt, failures = n.failures, losses = n.losses, until = n.until, rollback = n.rollback,
        rollback_attempt = n.rollback_attempt, rollback_failures = n.rollback_failures,
        rollback_until = n.rollback_until, error = n.error, ended_seq = n.ended_seq, clock = n.clock,
        received = n.received, result_bytes = n.result_bytes, result_seq = n.result_seq,
        result = coalesce(n.result, s.result)

-- name: steps_opened
-- NULL violates the table's constraint: a step that is over has begun again, which contradicts the journal.
, steps_opened AS (
    INSERT INTO step_open ({columns_of_steps})
    SELECT n.instance, n.generation,
        CASE WHEN EXISTS (
            SELECT 1 FROM step s WHERE s.instance = n.instance AND s.generation = n.generation
                AND s.kind = n.kind AND s.name = n.name AND s.count = n.count
        ) THEN NULL ELSE n.kind END,
        n.name, n.count, n.status, n.started_seq, n.line, n.config, n.attempt, n.failures, n.losses, n.until, n.event_type,
        n.rollback, n.rollback_config, n.rollback_attempt, n.rollback_failures, n.rollback_until, n.result_bytes, n.error,
        n.started_clock, n.ended_seq, n.clock, n.received, n.result_seq, n.result
    FROM {of_steps} AS n ({columns_of_steps}) WHERE n.instance {kept}
)

-- name: steps_over
-- That have just ended, or begun and ended.
, steps_over AS (
    INSERT INTO step ({columns_of_steps}) SELECT n.* FROM {of_steps} AS n (key) WHERE n.key {kept}
)

-- name: open_steps_changed
, open_steps_changed AS (
    UPDATE step_open s SET {changed_of_step}
    FROM {of_steps} AS n ({columns_of_steps})
    WHERE n.instance {kept} AND s.instance = n.instance AND s.generation = n.generation AND s.kind = n.kind AND s.name = n.name
        AND s.count = n.count
)

-- name: over_steps_changed
-- By a rollback's end, or by what the worker said of its clock. A result that the row holds stays.
, over_steps_changed AS (
    UPDATE step s SET {changed_of_step}
    FROM {of_steps} AS n ({columns_of_steps})
    WHERE n.instance {kept} AND s.instance = n.instance AND s.generation = n.generation AND s.kind = n.kind AND s.name = n.name
        AND s.count = n.count
)

-- name: of_step_keys
unnest(:1::bigint[], :2::integer[], :3::text[], :4::text[], :5::integer[]) AS n (instance, generation, kind, name, count)
    WHERE n.instance {kept} AND s.instance = n.instance AND s.generation = n.generation AND s.kind = n.kind AND s.name = n.name
        AND s.count = n.count

-- name: steps_closed
, steps_closed AS (DELETE FROM step_open s USING {of_step_keys})

-- name: inbox
, inbox_rows AS (
    INSERT INTO inbox (instance, seq, at, type, payload)
    SELECT n.* FROM unnest(:1::bigint[], :2::bigint[], :3::bigint[], :4::text[], :5::text[]) AS n (key) WHERE n.key {kept}
)

-- name: inbox_gone
, inbox_gone AS (
    DELETE FROM inbox b USING unnest(:1::bigint[], :2::bigint[]) AS n (key, seq)
    WHERE n.key {kept} AND b.instance = n.key AND (n.seq = 0 OR b.seq = n.seq)
)

-- name: keys
-- Of several changes of one key the last counts, of those that are committed.
, last_of_keys AS MATERIALIZED (
    SELECT DISTINCT ON (tenant, instance, name) tenant, instance, name, value
    FROM unnest(:1::bigint[], :2::text[], :3::bigint[], :4::text[], :5::text[]) WITH ORDINALITY
        AS n (key, tenant, instance, name, value, place) WHERE n.key {kept}
    ORDER BY tenant, instance, name, place DESC
), keys_put AS (
    INSERT INTO kv (tenant, instance, key, value)
    SELECT tenant, instance, name, value FROM last_of_keys WHERE value IS NOT NULL ORDER BY 1, 2, 3
    ON CONFLICT (tenant, instance, key) DO UPDATE SET value = excluded.value
), keys_deleted AS (
    DELETE FROM kv USING last_of_keys n
    WHERE n.value IS NULL AND kv.tenant = n.tenant AND kv.instance = n.instance AND kv.key = n.name
)

-- name: messages
, messages_sent AS (
    INSERT INTO message (tenant, queue, id, sent_at, due_at, content_type, body)
    SELECT n.tenant, n.queue, n.id, n.sent_at, n.due_at, n.content_type, n.body FROM unnest(
        :1::bigint[], :2::text[], :3::text[], :4::text[], :5::bigint[], :6::bigint[], :7::text[], :8::text[]
    ) AS n (key, tenant, queue, id, sent_at, due_at, content_type, body) JOIN moved USING (key)
    ON CONFLICT (tenant, id) DO NOTHING
)

-- name: tags
, tagged AS (
    INSERT INTO tag (tenant, tag, instance)
    SELECT n.tenant, n.tag, n.key FROM unnest(:1::bigint[], :2::text[], :3::text[]) AS n (key, tenant, tag) WHERE n.key {kept}
    ON CONFLICT DO NOTHING
)

-- name: tally
, tallied AS (
    INSERT INTO tally_change (tenant, queue, status, n)
    SELECT n.tenant, n.queue, d.status, sum(d.by) FROM unnest(
        :1::bigint[], :2::text[], :3::text[], :4::text[], :5::text[]
    ) AS n (key, tenant, queue, was, status), LATERAL (VALUES (n.was, -1), (n.status, 1)) AS d (status, by)
    WHERE n.key {kept} AND d.status IS NOT NULL GROUP BY 1, 2, 3 HAVING sum(d.by) <> 0
)

-- name: end
SELECT ARRAY(SELECT key FROM moved) AS moved

-- name: end_of_group
-- What a writer whose connection breaks reads of this commit: its number, and who was left out of it.
, done AS (
    UPDATE writer SET commits = :1, left_out = ARRAY(SELECT key FROM refused)
    WHERE id = :2 AND EXISTS (SELECT FROM turn)
)
SELECT ARRAY(SELECT key FROM moved) AS moved, EXISTS (SELECT FROM turn) AS in_turn
