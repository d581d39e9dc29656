-- What AWS IoT Core was asked for and issued, kept when it is gone there; and when what is there is compared with that.

-- One row a certificate that was asked for.
CREATE TABLE aws_issued (
  -- As in aws_certificates, whose row goes with the certificate.
  request_id bigint PRIMARY KEY,
  device_id text NOT NULL REFERENCES devices,
  -- SHA-256 of the TLS key's SubjectPublicKeyInfo, base64url.
  key_digest text NOT NULL,
  -- The identity key that asked for it.
  identity_thumbprint text NOT NULL,
  asked_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  -- In hexadecimal, lower case; these three are null when the answer was never seen.
  serial text,
  not_before timestamptz(3),
  not_after timestamptz(3),
  -- When it was gone there.
  removed_at timestamptz(3),
  revoked_at timestamptz(3),
  reason text,
  CHECK ((revoked_at IS NULL) = (reason IS NULL)),
  CHECK ((serial IS NULL) = (not_before IS NULL) AND (serial IS NULL) = (not_after IS NULL))
);
CREATE INDEX aws_issued_of_device ON aws_issued (device_id, asked_at DESC);
CREATE INDEX aws_issued_forgotten ON aws_issued (asked_at) WHERE revoked_at IS NULL;
-- Taking it back needs somebody who stands for it; that it was made or removed does not.
CREATE TRIGGER keep_history AFTER UPDATE OF revoked_at, reason ON aws_issued
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('request_id');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON aws_issued FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

ALTER TABLE aws_things
  -- Certificates that hang on the thing and are on no record, because the database came from a backup. none: they are
  -- not looked for; wanted: an operator took the device's certificates back; done: looked for since the device is
  -- barred or retired; gone: the thing of a retired device is away.
  ADD COLUMN review text NOT NULL DEFAULT 'none' CHECK (review IN ('none', 'wanted', 'done', 'gone'));
CREATE INDEX devices_retired ON devices (device_id) WHERE retired_at IS NOT NULL;
CREATE INDEX device_keys_revoked ON device_keys (device_id) WHERE revoked_at IS NOT NULL;
