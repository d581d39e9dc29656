-- Last known state as it came and no longer parsed: a third of the bytes, and of what it takes to write a row. Who looks
-- at it inflates it, as with the archive. What is judged without looking is beside it, written with it.
ALTER TABLE device_state
  ALTER COLUMN next_within_ms DROP EXPRESSION,
  ALTER COLUMN goodbye DROP EXPRESSION,
  ADD COLUMN segment integer,
  ADD COLUMN envelope text;
UPDATE device_state s SET segment = coalesce((s.report ->> 'segment')::integer, 0), envelope = (
  SELECT r.envelope FROM reports r
  WHERE (r.device_id, r.incarnation, r.start, r.sequence) = (s.device_id, s.incarnation, s.start, s.sequence)
    AND r.received_at = s.received_at
  LIMIT 1);
-- Of a device that has been silent for longer than reports are kept there is no envelope to show.
DELETE FROM device_state WHERE envelope IS NULL;
ALTER TABLE device_state
  ALTER COLUMN segment SET NOT NULL,
  -- The compact JWS of the newest report: state and proof in one.
  ALTER COLUMN envelope SET NOT NULL,
  DROP COLUMN report;
