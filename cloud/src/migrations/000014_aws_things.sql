-- What was made of devices in AWS IoT Core, step by step, so that every failure half-way is continued or cleaned up.

-- One row a device whose transport is there; gone when everything of it is gone there.
CREATE TABLE aws_things (
  device_id text PRIMARY KEY REFERENCES devices,
  step text NOT NULL DEFAULT 'wanted' CHECK (step IN ('wanted', 'made', 'grouped')),
  -- As they were told there last.
  attributes jsonb NOT NULL DEFAULT '{}',
  -- Who works on it, so that two requests of one device, or two instances, never do.
  held_by text NOT NULL DEFAULT '',
  held_until timestamptz NOT NULL DEFAULT '-infinity',
  -- Failures in a row of cleaning up, and when it is tried again.
  failures integer NOT NULL DEFAULT 0,
  retry_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 70);

-- One row a certificate that was asked for, written before asking: AWS makes another one each time it is asked, so an
-- answer that was lost leaves one behind that only this row tells of.
CREATE TABLE aws_certificates (
  request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id text NOT NULL REFERENCES aws_things ON DELETE CASCADE,
  -- SHA-256 of the TLS key's SubjectPublicKeyInfo, base64url: by it a certificate is known to be the one asked for.
  key_digest text NOT NULL,
  -- requested: asked for, answer not seen; lost: another was asked for since; created, permitted (policy), attached
  -- (thing), active: what is done of it; leaving: to be taken away.
  step text NOT NULL CHECK (step IN ('requested', 'lost', 'created', 'permitted', 'attached', 'active', 'leaving')),
  certificate_id text UNIQUE,
  arn text,
  pem text,
  -- By the database's clock.
  asked_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  changed_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  CHECK ((certificate_id IS NULL) = (step IN ('requested', 'lost'))),
  CHECK ((certificate_id IS NULL) = (arn IS NULL) AND (arn IS NULL) = (pem IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX aws_certificates_active ON aws_certificates (device_id) WHERE step = 'active';
CREATE UNIQUE INDEX aws_certificates_under_way ON aws_certificates (device_id)
  WHERE step IN ('requested', 'created', 'permitted', 'attached');
CREATE INDEX aws_certificates_unfinished ON aws_certificates (device_id) WHERE step <> 'active';
