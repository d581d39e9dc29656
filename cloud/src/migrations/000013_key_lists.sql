-- Whom devices believe: lists of online keys and authorities, each sealed by the fleet root that the one before names.
-- All of them are kept: a device that slept for a year walks them one by one.
CREATE TABLE key_lists (
  version bigint PRIMARY KEY CHECK (version > 0),
  -- The compact JWS, as devices get it.
  sealed text NOT NULL,
  -- Its payload.
  list jsonb NOT NULL,
  added_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TRIGGER key_lists_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON key_lists
  FOR EACH STATEMENT EXECUTE FUNCTION paddock_refuse();
