-- Releases of firmware, and the metadata of The Update Framework that say which of them are genuine.

-- The files as they were signed. Of root and targets all are kept; of what the service signs itself the newest.
CREATE TABLE firmware_metadata (
  role text NOT NULL CHECK (role IN ('root', 'targets', 'snapshot', 'timestamp')),
  version bigint NOT NULL CHECK (version > 0),
  metadata text NOT NULL,
  added_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (role, version)
);
CREATE TRIGGER offline_metadata_are_append_only BEFORE UPDATE OR DELETE ON firmware_metadata
  FOR EACH ROW WHEN (OLD.role IN ('root', 'targets')) EXECUTE FUNCTION paddock_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON firmware_metadata FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears that files of the repository are to be written.
CREATE FUNCTION paddock_notify_firmware() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_firmware', NEW.role);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_firmware AFTER INSERT ON firmware_metadata
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_firmware();

CREATE TABLE releases (
  name text NOT NULL,
  counter bigint NOT NULL CHECK (counter > 0),
  version text NOT NULL,
  -- Of the manifest, in hexadecimal: the release's digest.
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  models text[] NOT NULL,
  -- As it was signed: its bytes are UTF-8.
  manifest text NOT NULL,
  -- Of the index, in hexadecimal: packs lie under it.
  index_sha256 text NOT NULL,
  -- Of the payload.
  files bigint NOT NULL,
  bytes bigint NOT NULL,
  -- Of the archive.
  bundle_bytes bigint NOT NULL,
  uploaded_at timestamptz(3) NOT NULL,
  -- Null: the bundle is here, and nobody has signed it.
  published_at timestamptz(3),
  withdrawn_at timestamptz(3),
  PRIMARY KEY (name, counter)
);
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON releases
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('sha256', 'manifest');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON releases FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
