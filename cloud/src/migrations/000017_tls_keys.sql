-- TLS keys of devices, so that one that was stolen gets no certificate any more.

-- RFC 7638, SHA-256, base64url: of the key that the certificate is for; null: before this was kept.
ALTER TABLE certificates ADD COLUMN tls_thumbprint text;

-- Taken back by an operator with their certificates, for good: longer than rows of certificates are kept.
CREATE TABLE revoked_tls_keys (
  thumbprint text PRIMARY KEY,
  -- Whose it was.
  device_id text NOT NULL REFERENCES devices,
  revoked_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON revoked_tls_keys
  FOR EACH ROW EXECUTE FUNCTION paddock_keep_history('thumbprint');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON revoked_tls_keys FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
