import { ALL_CUSTOMERS } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import type { AssignmentChanges, AssignmentNews } from '../rollouts/changes.ts';
import { someAssignedDevices, someAssignments } from '../rollouts/views.ts';
import { eventBody } from './event-id.ts';

/** An event, and whose it is; null: only those hear it who reach every customer. */
export interface Told {
  readonly customerId: string | null;
  readonly body: string;
}

/** Assignments that changed, and devices in them, until listeners are told. */
export class AssignmentsTold {
  readonly #assignments = new Set<number>();
  readonly #devices = new Map<string, { readonly assignmentId: number; readonly deviceId: string }>();

  static of({ assignments, devices }: AssignmentChanges): AssignmentsTold {
    const told = new AssignmentsTold();
    for (const assignmentId of assignments) told.add({ assignmentId });
    for (const device of devices) told.add(device);
    return told;
  }

  get size(): number {
    return this.#assignments.size;
  }

  /** With a device the totals of its assignment have changed. */
  add({ assignmentId, deviceId }: AssignmentNews): void {
    this.#assignments.add(assignmentId);
    if (deviceId !== undefined) this.#devices.set(`${assignmentId} ${deviceId}`, { assignmentId, deviceId });
  }

  addAll(other: AssignmentsTold): void {
    for (const assignmentId of other.#assignments) this.add({ assignmentId });
    for (const device of other.#devices.values()) this.add(device);
  }

  /** As they are now: devices in the order of their changes, then the assignments. */
  async read(sql: Sql): Promise<Told[]> {
    if (this.size === 0) return [];
    const devices = await someAssignedDevices(sql, [...this.#devices.values()]);
    const assignments = await someAssignments(sql, ALL_CUSTOMERS, [...this.#assignments]);
    return [
      ...devices.map(({ customerId, device }) => ({ customerId, body: eventBody('assignment-device', device) })),
      ...assignments.map((view) => ({ customerId: view.customerId, body: eventBody('assignment', view) })),
    ];
  }
}
