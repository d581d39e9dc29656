-- What devices are made of, as they say themselves, signed: every inventory that was new, what it changed, and what is
-- current.

-- Append-only until retention. Of one device in its own order: late ones are not recorded.
CREATE TABLE inventories (
  inventory_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  ordinal integer NOT NULL,
  incarnation text NOT NULL,
  start bigint NOT NULL,
  boot_id text NOT NULL,
  segment integer NOT NULL,
  uptime_ms bigint NOT NULL,
  received_at timestamptz(3) NOT NULL,
  -- The interval as it was known on arrival; the boot's clock may know better since.
  earliest timestamptz(3),
  latest timestamptz(3) NOT NULL,
  basis text NOT NULL,
  -- SHA-256 of the signing input.
  digest bytea NOT NULL,
  -- SHA-256 of the canonical tree, base64url: what reports name.
  content text NOT NULL,
  -- The compact JWS as it came: content and proof in one.
  envelope text NOT NULL,
  UNIQUE (device_id, digest)
);
CREATE INDEX inventories_of_device ON inventories (device_id, inventory_id DESC);
CREATE INDEX inventories_by_arrival ON inventories (received_at);

CREATE TABLE current_inventories (
  device_id text PRIMARY KEY REFERENCES devices,
  inventory_id bigint NOT NULL REFERENCES inventories,
  content text NOT NULL,
  -- What the next one is compared with: its components, and those of before that could not be looked for.
  components json NOT NULL
);

-- Which device has a serial number now.
CREATE TABLE current_components (
  kind text NOT NULL,
  serial_number text NOT NULL,
  device_id text NOT NULL REFERENCES devices,
  PRIMARY KEY (kind, serial_number, device_id)
);
-- One device's inventories are compared with its current one, and retention asks which one that is.
CREATE INDEX current_inventories_by_inventory ON current_inventories (inventory_id);
CREATE INDEX current_components_of_device ON current_components (device_id);

CREATE TABLE inventory_changes (
  change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  -- The inventory that shows it, and the one before, which does not yet; null when there was none.
  inventory_id bigint NOT NULL REFERENCES inventories,
  previous_id bigint REFERENCES inventories,
  change text NOT NULL CHECK (change IN ('added', 'removed', 'changed', 'moved')),
  kind text NOT NULL,
  -- Where it stands: the names from the outermost component to it.
  path json NOT NULL,
  before json,
  after json,
  -- The device on which it was current; of the same customer.
  from_device text REFERENCES devices
);
CREATE INDEX inventory_changes_of_device ON inventory_changes (device_id, change_id DESC);
CREATE INDEX inventory_changes_shown_by ON inventory_changes (inventory_id);
CREATE INDEX inventory_changes_not_yet_in ON inventory_changes (previous_id);
