-- What shall last on each device: one document, in versions. Who set what and when is in the history, version by version.
CREATE TABLE desired_states (
  device_id text PRIMARY KEY REFERENCES devices,
  -- Grows with every change; the epoch of the database orders what it cannot.
  version bigint NOT NULL CHECK (version > 0),
  state jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
  changed_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  changed_by text NOT NULL,
  -- What the newest report says of it: epoch, version, errors by key. Null: nothing.
  reported jsonb,
  reported_at timestamptz(3),
  -- The place of its newest change, or of what was reported, among all changes that listeners hear of.
  revision bigint NOT NULL DEFAULT nextval('state_revision'),
  -- What was handed to the broker last; null when nothing was, or when it was taken away there.
  published_epoch bigint,
  published_version bigint,
  published_incarnation text,
  published_at timestamptz(3),
  expires_at timestamptz(3)
);

-- That it was published, and what is reported, are no edits: they need no actor and make no history.
CREATE TRIGGER keep_history AFTER INSERT OR DELETE OR UPDATE OF device_id, version, state, changed_at, changed_by
  ON desired_states FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('device_id', 'revision',
    'reported', 'reported_at', 'published_epoch', 'published_version', 'published_incarnation', 'published_at', 'expires_at');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON desired_states FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears of a device whose desired state changed, which one of them publishes, or was reported anew.
CREATE FUNCTION paddock_notify_desired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_desired', NEW.device_id);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_desired AFTER INSERT OR UPDATE OF version, reported ON desired_states
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_desired();
