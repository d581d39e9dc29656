-- A component that was taken out of one device before it was found in another one has moved, too: the newest removal of
-- its serial number says where from.
ALTER TABLE inventory_changes
  ADD COLUMN serial_number text GENERATED ALWAYS AS (coalesce(after, before) ->> 'serialNumber') STORED;
CREATE INDEX inventory_changes_removed ON inventory_changes (kind, serial_number, change_id DESC)
  WHERE change = 'removed' AND serial_number IS NOT NULL;
