-- What shall last on each device: one document, in versions. Who set what and when is in the history, version by version.
CREATE TABLE desired_states (
  device_id text PRIMARY KEY REFERENCES devices,
  -- Grows with every change; the epoch of the database orders what it cannot.
  version bigint NOT NULL CHECK (version > 0),
  state jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
  changed_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  changed_by text NOT NULL,
  -- Its place among all changes that listeners hear of.
  revision bigint NOT NULL DEFAULT nextval('state_revision'),
  -- What was handed to the broker last; null when nothing was, or when it was taken away there.
  published_epoch bigint,
  published_version bigint,
  published_incarnation text,
  published_at timestamptz(3),
  expires_at timestamptz(3)
);
CREATE INDEX desired_states_by_expiry ON desired_states (expires_at);

-- That it was published is no edit: it needs no actor and makes no history.
CREATE TRIGGER keep_history AFTER INSERT OR DELETE OR UPDATE OF device_id, version, state, changed_at, changed_by
  ON desired_states FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('device_id', 'revision',
    'published_epoch', 'published_version', 'published_incarnation', 'published_at', 'expires_at');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON desired_states FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears of a device whose desired state changed; one of them publishes it.
CREATE FUNCTION paddock_notify_desired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_desired', NEW.device_id);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_desired AFTER INSERT OR UPDATE OF version ON desired_states
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_desired();
