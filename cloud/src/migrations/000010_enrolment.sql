-- How devices are let in: nonces, the factory's list and batch keys, used claims, and strangers that wait for a human.

-- Good once and for minutes, so neither has to survive a crash: unlogged, and no commit waits for the disk.
CREATE UNLOGGED TABLE enrolment_nonces (
  nonce text PRIMARY KEY,
  expires_at timestamptz(3) NOT NULL
);
CREATE INDEX enrolment_nonces_by_expiry ON enrolment_nonces (expires_at);
-- Nonces given out in a minute: to an address (a network of 64 bits for IPv6), and to all of them ('*').
CREATE UNLOGGED TABLE enrolment_rates (
  address text NOT NULL,
  minute timestamptz(3) NOT NULL,
  given integer NOT NULL,
  PRIMARY KEY (address, minute)
);
CREATE INDEX enrolment_rates_by_minute ON enrolment_rates (minute);

-- What a factory said it has made: a device with this serial number and this key is let in.
CREATE TABLE factory_list (
  -- RFC 7638, SHA-256, base64url.
  thumbprint text PRIMARY KEY,
  customer_id text NOT NULL REFERENCES customers,
  serial_number text NOT NULL,
  model_id text REFERENCES models,
  site_id text,
  name text,
  added_at timestamptz(3) NOT NULL DEFAULT now(),
  -- Whom it let in.
  device_id text REFERENCES devices,
  UNIQUE (customer_id, serial_number),
  FOREIGN KEY (site_id, customer_id) REFERENCES sites (site_id, customer_id)
);
CREATE INDEX factory_list_by_serial_number ON factory_list (serial_number);

-- A key that a factory seals claims with, and how far it reaches.
CREATE TABLE factory_keys (
  batch_id text PRIMARY KEY CHECK (batch_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  customer_id text NOT NULL REFERENCES customers,
  thumbprint text NOT NULL UNIQUE,
  jwk jsonb NOT NULL,
  -- Null: claims name the model.
  model_id text REFERENCES models,
  max_devices integer NOT NULL CHECK (max_devices > 0),
  used integer NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND max_devices),
  not_before timestamptz(3) NOT NULL DEFAULT now(),
  not_after timestamptz(3) NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at timestamptz(3),
  CHECK (not_before < not_after)
);

-- A claim lets one device in, once: written in the transaction that registers it.
CREATE TABLE used_claims (
  batch_id text NOT NULL REFERENCES factory_keys,
  jti text NOT NULL,
  serial_number text NOT NULL,
  device_id text NOT NULL REFERENCES devices,
  used_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (batch_id, jti)
);

-- Strangers: who asked to be let in and has to be looked at by a human.
CREATE TABLE pending_enrolments (
  thumbprint text PRIMARY KEY,
  jwk jsonb NOT NULL,
  address text NOT NULL,
  -- What devices are limited by: the address, or the network of 64 bits that it is of.
  address_group text NOT NULL,
  serial_number text,
  model text,
  facts jsonb NOT NULL,
  -- A registered device of the same serial number, which it says to be with a new key, and whose it is.
  device_id text REFERENCES devices,
  customer_id text REFERENCES customers,
  -- Why nothing else let it in.
  reason text NOT NULL,
  first_asked_at timestamptz(3) NOT NULL DEFAULT now(),
  last_asked_at timestamptz(3) NOT NULL DEFAULT now(),
  asked integer NOT NULL DEFAULT 1,
  rejected_at timestamptz(3)
);
CREATE INDEX pending_enrolments_by_age ON pending_enrolments (last_asked_at);
-- A device that comes back with a new key is found by what its factory engraved.
CREATE INDEX devices_by_serial_number ON devices (serial_number);

CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON factory_list
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('thumbprint');
-- That a claim was used stands in used_claims.
CREATE TRIGGER keep_history AFTER INSERT OR DELETE OR UPDATE OF revoked_at, max_devices, not_before, not_after
  ON factory_keys FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('batch_id', 'used');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON factory_list FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON factory_keys FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON used_claims FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
