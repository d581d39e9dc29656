-- Who did what, from where, and with which result; and the epochs that a restored backup opens.

-- Append-only, and chained: each row holds the hash of the one before, and numbers have no gap, so that a hole shows.
CREATE TABLE audit_log (
  seq bigint PRIMARY KEY,
  -- The entry as JSON, as it was written: this is what is hashed. The columns below are taken from it, to be searched.
  entry text NOT NULL,
  -- Of the row before; 32 zero bytes for the first.
  previous bytea NOT NULL,
  -- SHA-256 of: previous, seq as 8 bytes (big-endian), entry in UTF-8.
  hash bytea NOT NULL,
  at timestamptz(3) NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  device_id text,
  customer_id text
);
CREATE INDEX audit_log_by_time ON audit_log (at);
CREATE INDEX audit_log_of_actor ON audit_log (actor, seq DESC);
CREATE INDEX audit_log_of_action ON audit_log (action, seq DESC);
CREATE INDEX audit_log_of_device ON audit_log (device_id, seq DESC);
CREATE INDEX audit_log_of_customer ON audit_log (customer_id, seq DESC);

-- One writer at a time, until its commit: numbers follow the order of commits, so that who reads on misses nothing.
CREATE FUNCTION paddock_chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told jsonb := NEW.entry::jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(7233640);
  SELECT a.seq + 1, a.hash INTO NEW.seq, NEW.previous FROM audit_log a ORDER BY a.seq DESC LIMIT 1;
  NEW.seq := coalesce(NEW.seq, 1);
  NEW.previous := coalesce(NEW.previous, decode(repeat('00', 32), 'hex'));
  NEW.hash := sha256(NEW.previous || int8send(NEW.seq) || convert_to(NEW.entry, 'UTF8'));
  NEW.at := (told ->> 'at')::timestamptz;
  NEW.actor := told ->> 'actor';
  NEW.action := told ->> 'action';
  NEW.device_id := told ->> 'deviceId';
  NEW.customer_id := told ->> 'customerId';
  RETURN NEW;
END
$$;
CREATE TRIGGER chain_audit BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION paddock_chain_audit();

CREATE FUNCTION paddock_refuse_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of the audit log is refused', TG_OP USING ERRCODE = 'PDAUD';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse_audit();

-- Retention takes the oldest entries only, never the newest, and leaves an entry that says what it took: the number and
-- the hash of the last one that is gone, which the first one that is left names as its predecessor.
CREATE FUNCTION paddock_record_audit_retention() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  first_seq bigint;
  last_seq bigint;
  last_hash bytea;
BEGIN
  SELECT min(seq), max(seq) INTO first_seq, last_seq FROM gone;
  IF last_seq IS NULL THEN RETURN NULL; END IF;
  IF current_setting('paddock.audit_retention', true) IS DISTINCT FROM 'yes'
    OR EXISTS (SELECT FROM audit_log WHERE seq < last_seq)
    OR NOT EXISTS (SELECT FROM audit_log) THEN
    RAISE EXCEPTION 'DELETE of the audit log is refused' USING ERRCODE = 'PDAUD';
  END IF;
  SELECT hash INTO last_hash FROM gone WHERE seq = last_seq;
  INSERT INTO audit_log (entry) VALUES (json_build_object(
    'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'actor', 'service', 'action', 'forgetAudit', 'result', 'done',
    'detail', json_build_object('first', first_seq, 'last', last_seq, 'hash', encode(last_hash, 'hex')))::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER record_retention AFTER DELETE ON audit_log REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_record_audit_retention();

-- The request that an edit came with: its entry in the audit log has the same.
ALTER TABLE history ADD COLUMN request_id text;
CREATE INDEX history_of_request ON history (request_id) WHERE request_id IS NOT NULL;
CREATE OR REPLACE FUNCTION paddock_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
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
  INSERT INTO history (actor, request_id, table_name, row_id, operation, before, after)
  VALUES (actor, nullif(current_setting('paddock.request', true), ''), TG_TABLE_NAME,
    coalesce(row_after, row_before) ->> TG_ARGV[0], lower(TG_OP), row_before, row_after);
  RETURN NULL;
END
$$;

-- Each restore of a backup opens a new epoch: versions of desired state are compared within one epoch only. Seconds since
-- 1970, so that the same backup restored twice opens two.
CREATE TABLE epochs (
  epoch bigint PRIMARY KEY,
  opened_at timestamptz(3) NOT NULL,
  reason text NOT NULL CHECK (reason IN ('first', 'restore')),
  -- Which backup was restored.
  backup_id text
);
INSERT INTO epochs (epoch, opened_at, reason) VALUES (0, now(), 'first');
