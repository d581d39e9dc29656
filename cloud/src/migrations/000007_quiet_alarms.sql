-- Whether a device's alarm was told lately is asked with every alarm: not of everything that was told of all devices.
CREATE INDEX notifications_of_device ON notifications (device_id, occurred_at);
