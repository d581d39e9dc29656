-- Why starts of agents began, as their reports say, and what devices tell of ends that were not in good order.
ALTER TABLE starts ADD COLUMN began jsonb;

-- Append-only until retention; signed, and known by the id that the device gave it, however often it comes.
CREATE TABLE crashes (
  crash_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  crash_id text NOT NULL,
  incarnation text NOT NULL,
  -- The start that told of it.
  start bigint NOT NULL,
  received_at timestamptz(3) NOT NULL,
  reason text NOT NULL,
  -- Why the machine was booted; null when it was not.
  machine text,
  detail text,
  agent_version text,
  -- The last sign of life before it, by the clock of its boot; the interval as it was known on arrival.
  boot_id text NOT NULL,
  segment integer NOT NULL,
  uptime_ms bigint NOT NULL,
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  -- SHA-256 of the signing input.
  digest bytea NOT NULL,
  -- The compact JWS as it came: content and proof in one.
  envelope text NOT NULL,
  UNIQUE (device_id, crash_id)
);
CREATE INDEX crashes_of_device ON crashes (device_id, crash_number DESC);
CREATE INDEX crashes_by_arrival ON crashes (received_at);
