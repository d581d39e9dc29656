-- What devices run, as they say themselves, signed; and assignments: which release which devices shall run, a bounded
-- number of them at once.

-- What the newest report says of firmware, and what it holds of desired state. Moved forward with device_state, in its
-- transaction, and written only when it says something else than before.
CREATE TABLE device_firmware (
  device_id text PRIMARY KEY REFERENCES devices,
  -- As in the report, without what a newer program may say besides.
  reported jsonb NOT NULL,
  -- What runs; null when nothing does.
  name text,
  sha256 text,
  committed boolean NOT NULL,
  -- The desired state that the device held then; null when it said nothing of it.
  desired_epoch bigint,
  desired_version bigint,
  -- Why it could not apply its key `firmware`.
  desired_error jsonb,
  -- When the first report that says this came.
  received_at timestamptz(3) NOT NULL
);
CREATE INDEX device_firmware_by_name ON device_firmware (name, device_id);

-- What each device ran and when: a row where what it runs, and has committed, is another release than before. In the
-- device's own order: reports that come late add none.
CREATE TABLE firmware_changes (
  change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  -- Null: nothing.
  name text,
  version text,
  counter bigint,
  sha256 text,
  slot text,
  -- The report that shows it; the archive has its proof.
  incarnation text NOT NULL,
  start bigint NOT NULL,
  sequence bigint NOT NULL,
  boot_id text NOT NULL,
  segment integer NOT NULL,
  uptime_ms bigint NOT NULL,
  received_at timestamptz(3) NOT NULL,
  -- The interval as it was known on arrival; the boot's clock may know better since.
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  -- The report before it, which does not show it yet; null when the archive has none of this state file.
  before_boot_id text,
  before_segment integer,
  before_uptime_ms bigint,
  before_received_at timestamptz(3),
  before_earliest timestamptz(3),
  before_latest timestamptz(3),
  before_basis text
);
CREATE INDEX firmware_changes_of_device ON firmware_changes (device_id, change_id DESC);
CREATE INDEX firmware_changes_by_arrival ON firmware_changes (received_at);

CREATE TABLE assignments (
  assignment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Whose token made it, and may see and change it; null: one that reaches every customer.
  customer_id text REFERENCES customers,
  name text NOT NULL,
  counter bigint NOT NULL,
  version text NOT NULL,
  sha256 text NOT NULL,
  models text[] NOT NULL,
  -- What desired state says besides the release: window, overrideLock, bytesPerSecond, repository.
  options jsonb NOT NULL,
  -- Whom it was asked for; null: a list of devices.
  filter jsonb,
  -- Takes devices that come to fit the filter later, too.
  standing boolean NOT NULL,
  -- How many may be updating at once.
  cap integer NOT NULL CHECK (cap > 0),
  -- With so many failed or stalled since it was made or resumed, it halts.
  halt_after integer NOT NULL CHECK (halt_after > 0),
  stalled_after_ms bigint NOT NULL CHECK (stalled_after_ms > 0),
  state text NOT NULL CHECK (state IN ('active', 'paused', 'halted', 'completed', 'cancelled')),
  -- Why it halted.
  code text,
  detail text,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  created_by text NOT NULL,
  since timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  -- Failures before count no more.
  counted_from timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  -- Its place among all changes that listeners hear of.
  revision bigint NOT NULL DEFAULT nextval('state_revision')
);
CREATE INDEX assignments_of_customer ON assignments (customer_id, assignment_id DESC);
CREATE INDEX assignments_active ON assignments (assignment_id) WHERE state = 'active';
CREATE INDEX assignments_revision ON assignments (revision);
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON assignments
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('assignment_id', 'revision');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON assignments FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

CREATE TABLE assignment_devices (
  assignment_id bigint NOT NULL REFERENCES assignments,
  device_id text NOT NULL REFERENCES devices,
  -- Of the bundle: a device is in one open assignment of a name.
  name text NOT NULL,
  state text NOT NULL CHECK (state IN
    ('waiting', 'updating', 'stalled', 'updated', 'failed', 'superseded', 'cancelled', 'refused')),
  -- Why, where it did not come to its end.
  code text,
  detail text,
  -- While it is updating: where it is on its way, and how much of the download is there.
  step text,
  percent integer,
  since timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  superseded_by bigint REFERENCES assignments (assignment_id),
  -- What was handed out last: which desired state, when, and what its key `firmware` was before (null: absent).
  handed_epoch bigint,
  handed_version bigint,
  handed_at timestamptz(3),
  previous jsonb,
  revision bigint NOT NULL DEFAULT nextval('state_revision'),
  PRIMARY KEY (assignment_id, device_id)
);
CREATE UNIQUE INDEX assignment_devices_open ON assignment_devices (device_id, name)
  WHERE state IN ('waiting', 'updating', 'stalled');
CREATE INDEX assignment_devices_waiting ON assignment_devices (assignment_id, device_id) WHERE state = 'waiting';
CREATE INDEX assignment_devices_handed ON assignment_devices (assignment_id, device_id)
  WHERE state IN ('updating', 'stalled');
CREATE INDEX assignment_devices_failed ON assignment_devices (assignment_id, device_id) WHERE state = 'failed';
CREATE INDEX assignment_devices_of_device ON assignment_devices (device_id, assignment_id DESC);
CREATE INDEX assignment_devices_revision ON assignment_devices (revision);
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON assignment_devices FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears of assignments, and of their devices once something becomes of them.
CREATE FUNCTION paddock_notify_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_assignments', json_build_object('assignmentId', NEW.assignment_id)::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_assignment AFTER INSERT OR UPDATE OF state ON assignments
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_assignment();
CREATE FUNCTION paddock_notify_assignment_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_assignments',
    json_build_object('assignmentId', NEW.assignment_id, 'deviceId', NEW.device_id)::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_assignment_device AFTER UPDATE OF state, step, percent ON assignment_devices
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_assignment_device();
