-- Whether devices are there, what was said about it, and who was listening.

-- What silence is judged by, next to the report and not inside it.
ALTER TABLE device_state
  ADD COLUMN next_within_ms bigint NOT NULL GENERATED ALWAYS AS ((report ->> 'nextWithinMs')::bigint) STORED,
  ADD COLUMN goodbye boolean NOT NULL GENERATED ALWAYS AS (report -> 'trigger' ->> 'kind' = 'shutdown') STORED;

-- One row a device that was ever heard or is retired; written when the state changes, not with every report.
CREATE TABLE presence (
  device_id text PRIMARY KEY REFERENCES devices,
  state text NOT NULL CHECK (state IN ('online', 'late', 'offline', 'lost', 'retired')),
  since timestamptz(3) NOT NULL,
  previous text,
  -- The sign of life that the state was judged by: anything newer ends a silence.
  heard_at timestamptz(3),
  -- From the sequence of device_state, so that one number orders both.
  revision bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX presence_by_state ON presence (state);
CREATE INDEX presence_revision ON presence (revision);

-- Every instance that hears devices, since when without a gap. Silence counts only while somebody listens.
CREATE TABLE listeners (
  listener_id text PRIMARY KEY,
  since timestamptz(3) NOT NULL,
  seen_at timestamptz(3) NOT NULL
);

-- One row: the alarm that most of the fleet fell silent at once, and from when on every device has its allowance anew.
CREATE TABLE fleet_watch (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  silent_since timestamptz(3),
  allowance_from timestamptz(3)
);
INSERT INTO fleet_watch DEFAULT VALUES;

-- What operators are told: written with the change that it tells of, delivered at least once.
CREATE TABLE notifications (
  notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type text NOT NULL,
  occurred_at timestamptz(3) NOT NULL,
  device_id text REFERENCES devices,
  customer_id text,
  data jsonb NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- While a delivery is under way this is its lease: a dead instance's delivery is taken up again.
  next_attempt_at timestamptz(3) NOT NULL,
  delivered_at timestamptz(3),
  given_up_at timestamptz(3),
  last_error text
);
CREATE INDEX notifications_open ON notifications (next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notifications_by_time ON notifications (occurred_at);
