-- What devices reported: the immutable archive, what is known to be recorded, and the last known state.

-- Every incarnation (life of a state file) that a device has had, in order of appearance.
CREATE TABLE incarnations (
  device_id text NOT NULL REFERENCES devices,
  incarnation text NOT NULL,
  ordinal integer NOT NULL,
  first_received_at timestamptz(3) NOT NULL,
  PRIMARY KEY (device_id, incarnation),
  UNIQUE (device_id, ordinal)
);

-- Which sequences of a start are recorded. PostgreSQL cannot keep (device, start, sequence) unique across
-- time partitions, so this row, written in the transaction that writes the archive, is what makes once mean once.
CREATE TABLE starts (
  device_id text NOT NULL,
  incarnation text NOT NULL,
  start bigint NOT NULL,
  boot_id text NOT NULL,
  first_received_at timestamptz(3) NOT NULL,
  last_received_at timestamptz(3) NOT NULL,
  recorded int8multirange NOT NULL DEFAULT '{}',
  -- Bounded list of {sequence, digest, code}: what answers name as never to be sent again.
  rejected jsonb NOT NULL DEFAULT '[]',
  PRIMARY KEY (device_id, incarnation, start),
  FOREIGN KEY (device_id, incarnation) REFERENCES incarnations
) WITH (fillfactor = 70);

-- What is known of the time of a boot. Refining it rewrites no archive row.
CREATE TABLE boots (
  device_id text NOT NULL REFERENCES devices,
  boot_id text NOT NULL,
  reason text,
  first_received_at timestamptz(3) NOT NULL,
  last_received_at timestamptz(3) NOT NULL,
  -- The newest report in order of (incarnation, start, sequence): uptime never goes back along that order.
  newest_ordinal integer NOT NULL,
  newest_start bigint NOT NULL,
  newest_sequence bigint NOT NULL,
  newest_uptime_ms bigint NOT NULL,
  -- The tightest upper bound that an arrival gave: uptime anchor_uptime_ms was no later than anchor_latest.
  anchor_uptime_ms bigint NOT NULL,
  anchor_segment integer NOT NULL,
  anchor_latest timestamptz(3) NOT NULL,
  PRIMARY KEY (device_id, boot_id)
) WITH (fillfactor = 70);

CREATE TABLE reports (
  received_at timestamptz(3) NOT NULL,
  device_id text NOT NULL,
  incarnation text NOT NULL,
  start bigint NOT NULL,
  sequence bigint NOT NULL,
  boot_id text NOT NULL,
  uptime_ms bigint NOT NULL,
  segment integer NOT NULL,
  trigger text NOT NULL,
  -- The interval as it was known on arrival; the boot's row may know better since.
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  digest bytea NOT NULL,
  -- The compact JWS as it came: state and proof in one.
  envelope text NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX reports_identity ON reports (device_id, incarnation, start, sequence);
CREATE INDEX reports_by_time ON reports (device_id, received_at DESC, start DESC, sequence DESC);

-- Last known state: one row a device, moved forward only, in order of (ordinal, start, sequence).
CREATE SEQUENCE state_revision;
CREATE TABLE device_state (
  device_id text PRIMARY KEY REFERENCES devices,
  revision bigint NOT NULL,
  ordinal integer NOT NULL,
  incarnation text NOT NULL,
  start bigint NOT NULL,
  sequence bigint NOT NULL,
  boot_id text NOT NULL,
  uptime_ms bigint NOT NULL,
  received_at timestamptz(3) NOT NULL,
  -- Arrival of the newest report of any kind, late ones included: the sign of life.
  heard_at timestamptz(3) NOT NULL,
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  digest bytea NOT NULL,
  -- The report's payload as it was signed.
  report jsonb NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX device_state_revision ON device_state (revision);

-- Refused messages, kept for a look at them; bounded by the service.
CREATE TABLE rejected_reports (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at timestamptz(3) NOT NULL,
  -- As the topic names it; not believed.
  device_id text,
  code text NOT NULL,
  detail text NOT NULL,
  topic text NOT NULL,
  envelope text NOT NULL
);
CREATE INDEX rejected_reports_by_device ON rejected_reports (device_id, id DESC);
