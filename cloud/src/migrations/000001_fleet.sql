-- Who owns what: customers, sites, models, devices with their keys, API tokens, and the history of them all.

-- Append-only. Written by triggers, so that no bulk write can go round it.
CREATE TABLE history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,
  table_name text NOT NULL,
  row_id text NOT NULL,
  operation text NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),
  before jsonb,
  after jsonb
);
CREATE INDEX history_of_row ON history (table_name, row_id, id DESC);

-- Refuses a write that nobody stands for. An actor is set for one transaction: set_config('paddock.actor', ..., true).
-- Arguments: the column that names the row, then columns that history must not keep.
CREATE FUNCTION paddock_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  actor text := nullif(current_setting('paddock.actor', true), '');
  row_before jsonb;
  row_after jsonb;
BEGIN
  IF actor IS NULL THEN
    RAISE EXCEPTION 'a write to % needs an actor', TG_TABLE_NAME
      USING ERRCODE = 'PDACT', HINT = 'Set paddock.actor for the transaction.';
  END IF;
  IF TG_OP <> 'INSERT' THEN row_before := to_jsonb(OLD) - TG_ARGV[1:]; END IF;
  IF TG_OP <> 'DELETE' THEN row_after := to_jsonb(NEW) - TG_ARGV[1:]; END IF;
  INSERT INTO history (actor, table_name, row_id, operation, before, after)
  VALUES (actor, TG_TABLE_NAME, coalesce(row_after, row_before) ->> TG_ARGV[0], lower(TG_OP), row_before, row_after);
  RETURN NULL;
END
$$;

CREATE FUNCTION paddock_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: it would go round the history', TG_OP, TG_TABLE_NAME USING ERRCODE = 'PDHIS';
END
$$;
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

CREATE TABLE customers (
  customer_id text PRIMARY KEY CHECK (customer_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  version integer NOT NULL DEFAULT 1
);

CREATE TABLE sites (
  site_id text PRIMARY KEY CHECK (site_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  customer_id text NOT NULL REFERENCES customers,
  name text NOT NULL,
  -- An IANA name, such as Europe/Zurich.
  time_zone text NOT NULL DEFAULT 'UTC',
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  version integer NOT NULL DEFAULT 1,
  UNIQUE (site_id, customer_id)
);
CREATE INDEX sites_of_customer ON sites (customer_id, site_id);

CREATE TABLE models (
  model_id text PRIMARY KEY CHECK (model_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  -- Null: every customer may use it.
  customer_id text REFERENCES customers,
  manufacturer text NOT NULL,
  family text,
  name text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  version integer NOT NULL DEFAULT 1
);
CREATE INDEX models_of_customer ON models (customer_id, model_id);

-- An id is given at registration and never used again: a retired device stays.
CREATE TABLE devices (
  device_id text PRIMARY KEY CHECK (device_id ~ '^[a-z0-9][a-z0-9-]{2,35}$'),
  customer_id text NOT NULL REFERENCES customers,
  site_id text,
  model_id text REFERENCES models,
  serial_number text,
  name text NOT NULL,
  registered_at timestamptz(3) NOT NULL DEFAULT now(),
  retired_at timestamptz(3),
  version integer NOT NULL DEFAULT 1,
  -- A device stands only on a site of its own customer.
  FOREIGN KEY (site_id, customer_id) REFERENCES sites (site_id, customer_id)
);
CREATE INDEX devices_of_customer ON devices (customer_id, device_id);
CREATE INDEX devices_on_site ON devices (site_id, device_id);
CREATE INDEX devices_of_model ON devices (model_id, device_id);

CREATE TABLE device_keys (
  -- RFC 7638, SHA-256, base64url. A key belongs to one device for ever.
  thumbprint text PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  -- The first 12 characters of the thumbprint, as envelopes name it.
  key_id text NOT NULL,
  jwk jsonb NOT NULL,
  added_at timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at timestamptz(3),
  UNIQUE (device_id, key_id)
);

CREATE TABLE api_tokens (
  token_id text PRIMARY KEY,
  name text NOT NULL,
  -- SHA-256 of the token; the token itself is shown once and kept nowhere.
  hash bytea NOT NULL UNIQUE,
  -- Null: every customer.
  customer_id text REFERENCES customers,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at timestamptz(3),
  last_used_at timestamptz(3)
);
CREATE INDEX api_tokens_of_customer ON api_tokens (customer_id, token_id);

CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON customers
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('customer_id');
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON sites
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('site_id');
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON models
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('model_id');
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON devices
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('device_id');
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON device_keys
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('thumbprint');
-- That a token was used is no edit: last_used_at alone needs no actor and makes no history.
CREATE TRIGGER keep_history
  AFTER INSERT OR DELETE OR UPDATE OF token_id, name, hash, customer_id, created_at, revoked_at ON api_tokens
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('token_id', 'hash', 'last_used_at');

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON customers FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON sites FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON models FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON devices FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON device_keys FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON api_tokens FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears of a device whose attributes or keys changed.
CREATE FUNCTION paddock_notify_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'DELETE' THEN PERFORM pg_notify('paddock_devices', NEW.device_id); END IF;
  IF TG_OP <> 'INSERT' THEN PERFORM pg_notify('paddock_devices', OLD.device_id); END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_device AFTER INSERT OR UPDATE OR DELETE ON devices
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_device();
CREATE TRIGGER notify_device AFTER INSERT OR UPDATE OR DELETE ON device_keys
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_device();

SELECT set_config('paddock.actor', 'migration', true);
INSERT INTO customers (customer_id, name) VALUES ('default', 'Default');
