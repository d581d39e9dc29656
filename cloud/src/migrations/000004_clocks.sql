-- When things really happened: what is known of every clock, the changes that readings tell of, and gaps.

-- Superseded by `clocks`: one upper bound a boot.
ALTER TABLE boots DROP COLUMN anchor_uptime_ms, DROP COLUMN anchor_segment, DROP COLUMN anchor_latest;

-- One row a clock: a boot of a device, or what lies between two suspends of it. Every place in time that is told of this
-- clock is worked out from here, so that a better bound refines all of history and rewrites no row of the archive.
CREATE TABLE clocks (
  device_id text NOT NULL REFERENCES devices,
  boot_id text NOT NULL,
  segment integer NOT NULL,
  -- Where the clock stands among those of its device: the incarnation and the start that it was first heard in.
  ordinal integer NOT NULL,
  start bigint NOT NULL,
  -- As cloud/src/clock/packed.ts writes it.
  record jsonb NOT NULL,
  -- What was noticed about it, by code; each is told once.
  faults text[] NOT NULL DEFAULT '{}',
  PRIMARY KEY (device_id, boot_id, segment)
) WITH (fillfactor = 70);
CREATE INDEX clocks_in_order ON clocks (device_id, ordinal, start, segment);

-- Bounds that a clock's row no longer holds and that history still needs. Written once, when the row has too many.
CREATE TABLE clock_history (
  device_id text NOT NULL,
  boot_id text NOT NULL,
  segment integer NOT NULL,
  from_uptime_ms double precision NOT NULL,
  to_uptime_ms double precision NOT NULL,
  region jsonb NOT NULL
);
CREATE INDEX clock_history_of_clock ON clock_history (device_id, boot_id, segment, to_uptime_ms);

-- The moments at which binary and enum readings changed. Any report that tells of a change is enough, and however many
-- do, it stands here once.
CREATE TABLE changes (
  device_id text NOT NULL REFERENCES devices,
  incarnation text NOT NULL,
  start bigint NOT NULL,
  sensor text NOT NULL,
  -- The sensor's count of changes since the start.
  changes bigint NOT NULL,
  boot_id text NOT NULL,
  segment integer NOT NULL,
  -- When it changed, by the device's uptime.
  uptime_ms bigint NOT NULL,
  -- What it changed to; null while every report that told of it had no value to trust.
  value jsonb,
  -- The interval as it was known when the change was first told; the clock may know better since.
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  received_at timestamptz(3) NOT NULL,
  PRIMARY KEY (device_id, incarnation, start, sensor, changes)
);
CREATE INDEX changes_by_time ON changes (device_id, latest DESC);
CREATE INDEX changes_by_arrival ON changes USING brin (received_at);

ALTER TABLE starts
  -- What the device's own outbox had to drop, by its newest count.
  ADD COLUMN dropped_routine bigint NOT NULL DEFAULT 0,
  ADD COLUMN dropped_events bigint NOT NULL DEFAULT 0,
  -- Holes are bounded: of the sequences below nothing more is awaited, and so many of them never came.
  ADD COLUMN settled_below bigint NOT NULL DEFAULT 0,
  ADD COLUMN abandoned bigint NOT NULL DEFAULT 0;
