import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import type { Sql } from '../ports.ts';

/** A device that was updated in an assignment, and runs something else now. */
export interface LeftDevice {
  readonly assignmentId: number;
  readonly deviceId: string;
  readonly customerId: string;
  /** Of the release that it was brought. */
  readonly sha256: string;
  readonly firmware: ReportedFirmware;
}

/** Devices that one turn looks at again. */
const MOST = 500;

// Only the newest assignment of a device says what it is to run, and only as long as its desired state says the same:
// whoever brought it to something else wanted that.
const LEFT = `
  WITH looked AS (
    UPDATE device_firmware SET judged = true
    WHERE device_id IN (
      SELECT device_id FROM device_firmware WHERE NOT judged ORDER BY device_id LIMIT ${MOST} FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING device_id, reported, sha256, committed)
  SELECT a.assignment_id AS "assignmentId", l.device_id AS "deviceId", d.customer_id AS "customerId", a.sha256,
    l.reported AS firmware
  FROM looked l
  JOIN devices d ON d.device_id = l.device_id AND d.retired_at IS NULL
  JOIN LATERAL (
    SELECT * FROM assignment_devices r WHERE r.device_id = l.device_id AND r.state <> 'refused'
    ORDER BY r.assignment_id DESC LIMIT 1) r ON r.state = 'updated'
  JOIN assignments a ON a.assignment_id = r.assignment_id
  JOIN desired_states t ON t.device_id = l.device_id AND t.state -> 'firmware' ->> 'sha256' = a.sha256
  WHERE l.committed AND l.sha256 IS DISTINCT FROM a.sha256
  ORDER BY a.assignment_id, l.device_id`;

/** Those that say so since they were looked at last; each is found once. With the lock of rollouts. */
export const leftDevices = (sql: Sql): Promise<LeftDevice[]> => sql.query<LeftDevice>(LEFT);
