import type { WallMs } from '@paddock/shared/time.ts';
import { actAs } from '../customers/scope.ts';
import { readRelease } from '../firmware/releases.ts';
import { addNotices, type Notice } from '../monitoring/notifications.ts';
import { tell } from '../monitoring/telling.ts';
import type { Audit, Log, Metrics, Sql, Store } from '../ports.ts';
import { decide, type Step } from './decide.ts';
import { handOut, isHanded, takeBack } from './hand-out.ts';
import { leftDevices } from './left.ts';
import { departureOf, judge } from './progress.ts';
import {
  assignmentAt,
  assignmentsAtWork,
  candidatesOf,
  countsOf,
  handedDevices,
  lockRollouts,
  writeDevices,
  writeState,
  type AssignmentRow,
  type DeviceChange,
  type HandedDevice,
} from './records.ts';
import { takeMore } from './targets.ts';

export interface RolloutParts {
  readonly audit: Audit;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Devices of one assignment that one turn hands the release at most; the next turn goes on. */
const MOST_STEPS = 200;

/** What a turn did. */
interface Told {
  readonly changes: readonly DeviceChange[];
  readonly notices: readonly Notice[];
}

/**
 * The job: looks how far devices are, and hands out what may be handed out; one assignment after the other, each in a
 * transaction of its own, so that a turn may end anywhere.
 * @param store writes only while the lease is held
 */
export async function workRollouts(parts: RolloutParts, store: Store, now: WallMs): Promise<void> {
  for (const notice of await store.transaction((sql) => judgeLeft(sql, now))) {
    parts.metrics.count('paddock_assignment_devices_total', { state: 'failed' });
    tell(parts.log, notice);
  }
  for (const assignmentId of await assignmentsAtWork(store)) {
    const { changes, notices } = await store.transaction((sql) => turn(sql, assignmentId, now));
    for (const { state } of changes) parts.metrics.count('paddock_assignment_devices_total', { state });
    for (const notice of notices) await tellHalt(parts, assignmentId, notice);
  }
}

async function tellHalt({ audit, log }: RolloutParts, assignmentId: number, notice: Notice): Promise<void> {
  tell(log, notice);
  await audit.add({
    actor: 'service',
    action: 'haltAssignment',
    result: 'done',
    customerId: notice.customerId ?? undefined,
    detail: { assignmentId, reason: String(notice.data['code']) },
  });
}

/** Devices that were updated and run something else now: an assignment that is at an end says the truth, too. */
async function judgeLeft(sql: Sql, now: WallMs): Promise<readonly Notice[]> {
  await lockRollouts(sql);
  const left = await leftDevices(sql);
  for (const { assignmentId, deviceId, sha256, firmware } of left) {
    const { code, detail = null } = departureOf(sha256, firmware);
    await writeDevices(sql, assignmentId, [{ deviceId, state: 'failed', code, detail }]);
  }
  const notices = left.map(({ assignmentId, deviceId, customerId, sha256, firmware }): Notice => {
    const data = { assignmentId, deviceId, customerId, ...departureOf(sha256, firmware) };
    return { type: 'assignment.left', occurredAt: now, deviceId, customerId, data };
  });
  await addNotices(sql, notices);
  return notices;
}

async function turn(sql: Sql, assignmentId: number, now: WallMs): Promise<Told> {
  await lockRollouts(sql);
  const assignment = await assignmentAt(sql, assignmentId);
  if (assignment === null) return { changes: [], notices: [] };
  await actAs(sql, 'service');
  const handed = await handedDevices(sql, assignmentId);
  const looked = handed.flatMap((device) => lookAt(assignment, device, now));
  await writeDevices(sql, assignmentId, looked);
  if (assignment.state !== 'active') return { changes: looked, notices: [] };
  await takeMore(sql, assignment);
  const steps = await nextSteps(sql, assignment);
  const did = await carryOut(sql, assignment, steps, stillHanded(handed, looked), now);
  return { changes: [...looked, ...did.changes], notices: did.notices };
}

/** What is new of a device that was handed the release. */
function lookAt(assignment: AssignmentRow, device: HandedDevice, now: WallMs): DeviceChange[] {
  const { deviceId, handed, heard, desired, retired } = device;
  if (device.state === 'failed') return [{ deviceId, state: 'updated' }];
  if (retired) return [{ deviceId, state: 'refused', code: 'device_retired' }];
  if (handed === null) return [{ deviceId, state: 'waiting' }];
  const progress = judge({ ...handed, sha256: assignment.sha256 }, heard, now, assignment.stalled_after_ms);
  const isOther = progress.state !== 'updated' && !isHanded(assignment, desired);
  if (isOther) return [{ deviceId, state: 'superseded', code: 'desired_changed' }];
  const isSame =
    progress.state === device.state &&
    progress.code === device.code &&
    progress.step === device.step &&
    progress.percent === device.percent;
  return isSame ? [] : [{ deviceId, ...progress }];
}

/** Those from which the release could be taken back. */
function stillHanded(handed: readonly HandedDevice[], looked: readonly DeviceChange[]): HandedDevice[] {
  const states = new Map(looked.map(({ deviceId, state }) => [deviceId, state]));
  return handed.filter(({ deviceId, state }) => ['updating', 'stalled'].includes(states.get(deviceId) ?? state));
}

async function nextSteps(sql: Sql, assignment: AssignmentRow): Promise<Step[]> {
  const { state, cap, halt_after: haltAfter, standing, name, counter } = assignment;
  const release = await readRelease(sql, name, counter);
  const counts = await countsOf(sql, assignment);
  const withdrawn = release === null || release.withdrawn;
  const candidates = await candidatesOf(sql, assignment, MOST_STEPS);
  return decide({ state, cap, haltAfter, standing, withdrawn, ...counts }, candidates);
}

async function carryOut(
  sql: Sql,
  assignment: AssignmentRow,
  steps: readonly Step[],
  handed: readonly HandedDevice[],
  now: WallMs,
): Promise<Told> {
  const { assignment_id: id } = assignment;
  const refused = steps.flatMap((step): DeviceChange[] =>
    step.kind === 'refuse' ? [{ deviceId: step.deviceId, state: 'refused', code: step.code }] : [],
  );
  await writeDevices(sql, id, refused);
  const changes = [...refused, ...(await handOut(sql, assignment, handedBy(steps)))];
  await actAs(sql, 'service');
  const halt = steps.find((step) => step.kind === 'halt');
  if (halt) return halted(sql, assignment, halt.code, handed, now);
  if (steps.some(({ kind }) => kind === 'complete')) await writeState(sql, id, 'completed');
  return { changes, notices: [] };
}

/** The devices that get the release, and what becomes of them. */
function handedBy(steps: readonly Step[]): Map<string, 'updating' | 'updated'> {
  const states = new Map<string, 'updating' | 'updated'>();
  for (const step of steps) {
    if (step.kind === 'adopt') states.set(step.deviceId, 'updated');
    if (step.kind === 'hand-out') states.set(step.deviceId, 'updating');
  }
  return states;
}

const FAILED = `
  SELECT device_id, code FROM assignment_devices
  WHERE assignment_id = $1 AND state IN ('failed', 'stalled') AND since >= $2 ORDER BY since, device_id LIMIT 5`;

async function halted(
  sql: Sql,
  assignment: AssignmentRow,
  code: string,
  handed: readonly HandedDevice[],
  now: WallMs,
): Promise<Told> {
  const { assignment_id: assignmentId, customer_id: customerId, name, version, counter } = assignment;
  const failed = await sql.query<{ device_id: string; code: string }>(FAILED, [assignmentId, assignment.counted_from]);
  const detail = failed.map((row) => `${row.device_id} ${row.code}`).join(', ');
  await writeState(sql, assignmentId, 'halted', { code, detail });
  const changes = await takeBack(sql, assignment, handed, 'waiting');
  const data = { assignmentId, customerId, name, version, counter, code, detail };
  const notice: Notice = { type: 'assignment.halted', occurredAt: now, deviceId: null, customerId, data };
  await addNotices(sql, [notice]);
  return { changes, notices: [notice] };
}
