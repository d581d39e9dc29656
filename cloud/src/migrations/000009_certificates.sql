-- Client certificates that the cloud's authority gave to devices, and which of them it takes back.
CREATE TABLE certificates (
  -- In hexadecimal, lower case.
  serial text PRIMARY KEY CHECK (serial ~ '^[0-9a-f]{2,40}$'),
  device_id text NOT NULL REFERENCES devices,
  -- The identity key that asked for it.
  identity_thumbprint text NOT NULL,
  not_before timestamptz(3) NOT NULL,
  not_after timestamptz(3) NOT NULL,
  issued_at timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at timestamptz(3),
  reason text,
  CHECK ((revoked_at IS NULL) = (reason IS NULL))
);
CREATE INDEX certificates_of_device ON certificates (device_id, not_after DESC);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked_at IS NOT NULL;

-- The row itself tells of its issuing; taking it back needs somebody who stands for it.
CREATE TRIGGER keep_history AFTER UPDATE ON certificates
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('serial');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON certificates FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
-- Live connections are looked at again.
CREATE TRIGGER notify_device AFTER UPDATE ON certificates
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_device();
