-- A device that was updated may run something else later: whoever judges assignments looks at each device again whose
-- report says something else of firmware than the one before.
ALTER TABLE device_firmware ADD COLUMN judged boolean NOT NULL DEFAULT false;
CREATE INDEX device_firmware_unjudged ON device_firmware (device_id) WHERE NOT judged;

-- What devices ran is kept in their own order: reports that come late have their place in it. The places of the report
-- that shows a release and of the one before it.
ALTER TABLE firmware_changes ADD COLUMN ordinal integer, ADD COLUMN before_start bigint, ADD COLUMN before_sequence bigint;
UPDATE firmware_changes c SET ordinal = i.ordinal
  FROM incarnations i WHERE (i.device_id, i.incarnation) = (c.device_id, c.incarnation);
UPDATE firmware_changes c SET before_start = r.start, before_sequence = r.sequence
  FROM reports r
  WHERE (r.device_id, r.incarnation, r.boot_id, r.segment, r.uptime_ms, r.received_at)
    = (c.device_id, c.incarnation, c.before_boot_id, c.before_segment, c.before_uptime_ms, c.before_received_at);
ALTER TABLE firmware_changes ALTER COLUMN ordinal SET NOT NULL;
DROP INDEX firmware_changes_of_device;
CREATE INDEX firmware_changes_of_device ON firmware_changes (device_id, ordinal, start, sequence);

-- When the step was written: `since` tells of the state.
ALTER TABLE assignment_devices ADD COLUMN told_at timestamptz(3);
UPDATE assignment_devices SET told_at = since;
ALTER TABLE assignment_devices ALTER COLUMN told_at SET NOT NULL, ALTER COLUMN told_at SET DEFAULT clock_timestamp();

-- A device has one slot that runs, and one release that it shall run, whatever its name: it is in one open assignment.
UPDATE assignment_devices r SET state = 'superseded', code = 'superseded', step = NULL, percent = NULL,
    superseded_by = n.assignment_id, since = clock_timestamp(), revision = nextval('state_revision')
  FROM (SELECT device_id, max(assignment_id) AS assignment_id FROM assignment_devices
        WHERE state IN ('waiting', 'updating', 'stalled') GROUP BY device_id) n
  WHERE r.device_id = n.device_id AND r.assignment_id < n.assignment_id AND r.state IN ('waiting', 'updating', 'stalled');
DROP INDEX assignment_devices_open;
CREATE UNIQUE INDEX assignment_devices_open ON assignment_devices (device_id)
  WHERE state IN ('waiting', 'updating', 'stalled');

-- By which key of the service the message was signed that the broker holds.
ALTER TABLE desired_states ADD COLUMN published_key text;
DROP TRIGGER keep_history ON desired_states;
CREATE TRIGGER keep_history AFTER INSERT OR DELETE OR UPDATE OF device_id, version, state, changed_at, changed_by
  ON desired_states FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('device_id', 'revision', 'reported', 'reported_at',
    'published_epoch', 'published_version', 'published_incarnation', 'published_key', 'published_at', 'expires_at');
