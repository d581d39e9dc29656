-- Taking back for good: what operators revoke and why, what another broker was told of it, which authority issued what.

ALTER TABLE device_keys ADD COLUMN reason text;

ALTER TABLE certificates
  -- SHA-256 of the certificate of the authority that issued it, in hexadecimal; null: before this was kept.
  ADD COLUMN authority text,
  -- When a broker beside the service was seen to refuse it, and its connection there was ended; null for all others.
  ADD COLUMN disconnected_at timestamptz(3);
CREATE INDEX certificates_by_expiry ON certificates (not_after);
-- That a connection was ended needs nobody who stands for it, and is no news to anybody.
DROP TRIGGER keep_history ON certificates;
CREATE TRIGGER keep_history AFTER UPDATE OF revoked_at, reason ON certificates
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('serial');
DROP TRIGGER notify_device ON certificates;
CREATE TRIGGER notify_device AFTER UPDATE OF revoked_at, reason ON certificates
  FOR EACH ROW EXECUTE FUNCTION paddock_notify_device();

-- Which authority issues: the newest row says it, when an operator has chosen one.
CREATE TABLE authority_uses (
  use_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- SHA-256 of its certificate, in hexadecimal.
  fingerprint text NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
  used_since timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TRIGGER keep_history AFTER INSERT ON authority_uses
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('use_id');
CREATE TRIGGER authority_uses_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON authority_uses
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();

-- Every instance hears whom devices believe now, and who issues.
CREATE FUNCTION paddock_notify_trust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('paddock_trust', TG_TABLE_NAME);
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_trust AFTER INSERT ON key_lists
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_notify_trust();
CREATE TRIGGER notify_trust AFTER INSERT ON authority_uses
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_notify_trust();
