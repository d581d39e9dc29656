-- A boot is made known before the first of its reports is recorded, so that whoever records one has its row to lock.
ALTER TABLE boots
  ALTER COLUMN newest_ordinal DROP NOT NULL,
  ALTER COLUMN newest_start DROP NOT NULL,
  ALTER COLUMN newest_sequence DROP NOT NULL,
  ALTER COLUMN newest_uptime_ms DROP NOT NULL;
