import type { Audit, AwsIot, Clock, Log, Store } from '../ports.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import { abandon } from './climb.ts';
import { AwsTransportError, codeOf, isMissing } from './errors.ts';
import { dueDevices } from './due.ts';
import { findForeign, findUnrecorded, principalsOf } from './find.ts';
import { holding, type Hold } from './hold.ts';
import { forgetIssued } from './issued.ts';
import type { Names } from './names.ts';
import { retryAfterMs } from './pauses.ts';
import { choresOf, type Certificate, type Chore, type Review, type Thing } from './progress.ts';
import {
  beginThing,
  forgetCertificate,
  readKnown,
  recordForeign,
  recordLeaving,
  recordRemoved,
  recordReview,
  recordThing,
  recordTurn,
  type Known,
} from './records.ts';

export interface TidyParts {
  readonly iot: AwsIot;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
  readonly names: Names;
}

/** Well within the lease of the job. */
const TURN_MS = 40_000;
const DEVICES_A_TURN = 50;
/** A device of which nothing could be done yet. */
const LOOK_AGAIN_MS = 30_000;
/** Met with one of these, the others would fare no better. */
const FOR_ALL: ReadonlySet<unknown> = new Set(['aws_throttled', 'aws_denied', 'aws_unreachable']);

/**
 * Takes away what is not needed any more: certificates that were replaced, given up, taken back or barred, everything of
 * retired devices, what lost answers left behind, and what came after the backup that this database is from. Each device
 * is tried until nothing is left of it.
 * @param now the database's clock
 */
export async function tidy(parts: TidyParts, store: Store, now: WallMs): Promise<void> {
  const endBy = parts.clock.monotonic() + TURN_MS;
  await forgetIssued(store, now);
  for (const deviceId of await dueDevices(store, now, DEVICES_A_TURN)) {
    if (parts.clock.monotonic() >= endBy) return;
    const code = await tidyDevice(parts, store, deviceId);
    if (FOR_ALL.has(code)) return;
  }
}

/** @returns the code of what went wrong, or null */
async function tidyDevice(parts: TidyParts, store: Store, deviceId: string): Promise<unknown> {
  try {
    await beginThing(store, deviceId);
    await holding(store, deviceId, (hold) => tend(parts, store, hold));
    return null;
  } catch (error) {
    // Somebody is letting it in, or tends it: that one goes on.
    if (error instanceof AwsTransportError) return error.code;
    const code = codeOf(error);
    if (typeof code !== 'string' || !code.startsWith('aws_')) throw error;
    const failures = ((await readKnown(store, deviceId))?.failures ?? 0) + 1;
    await recordTurn(store, deviceId, { failures, againInMs: retryAfterMs(failures) });
    parts.log.warn(
      { err: error, code, device: deviceId, failures },
      'What is left in AWS IoT could not be removed yet',
    );
    return code;
  }
}

async function tend(parts: TidyParts, store: Store, hold: Hold): Promise<void> {
  for (;;) {
    const known = await readKnown(store, hold.deviceId);
    if (known === null) return;
    const [chore] = choresOf(known);
    if (chore === undefined) {
      await hold.write((sql) => recordTurn(sql, hold.deviceId, { failures: 0, againInMs: LOOK_AGAIN_MS }));
      return;
    }
    await hold.write(async () => undefined);
    await carryOut(parts, store, hold, chore, known);
  }
}

async function carryOut(parts: TidyParts, store: Store, hold: Hold, chore: Chore, known: Known): Promise<void> {
  switch (chore.do) {
    case 'abandon':
      return abandon(hold, chore.certificate);
    case 'remove':
      return remove(parts, hold, chore.certificate);
    case 'sweep':
      return sweep(parts, store, hold, chore.certificate);
    case 'review':
      return review(parts, store, hold, chore.becomes);
    case 'deleteThing':
      return deleteThing(parts, hold, known.thing);
  }
}

/** Cut off first; every part may have been done by an earlier try. */
async function remove({ iot, names, log, audit }: TidyParts, hold: Hold, certificate: Certificate): Promise<void> {
  const { id, arn } = certificate;
  if (id !== null && arn !== null) {
    await unlessMissing(iot.setActive(id, false));
    await unlessMissing(iot.detachPolicy(names.policy, arn));
    await unlessMissing(iot.detachThing(hold.deviceId, arn));
    await unlessMissing(iot.deleteCertificate(id));
  }
  await hold.write((sql) => recordRemoved(sql, certificate.requestId));
  log.info({ device: hold.deviceId, certificate: id }, 'A certificate was removed from AWS IoT');
  void audit.add({ ...BY_ITSELF, action: 'removeCertificate', deviceId: hold.deviceId, detail: { certificate: id } });
}

async function sweep({ iot }: TidyParts, store: Store, hold: Hold, certificate: Certificate): Promise<void> {
  const found = await findUnrecorded({ iot, sql: store }, certificate);
  await hold.write(async (sql) => {
    await recordLeaving(sql, hold.deviceId, found);
    await forgetCertificate(sql, certificate.requestId);
  });
}

/** What hangs on the thing and is on no record leaves as well; looked for again until there is none. */
async function review({ iot, log }: TidyParts, store: Store, hold: Hold, becomes: Review): Promise<void> {
  const { deviceId } = hold;
  const found = await findForeign({ iot, sql: store }, deviceId);
  await hold.write((sql) =>
    found.length > 0 ? recordForeign(sql, deviceId, found) : recordReview(sql, deviceId, becomes),
  );
  const certificates = found.map(({ id }) => id);
  if (found.length > 0)
    log.warn({ device: deviceId, certificates }, 'Certificates in AWS IoT that are on no record are removed');
}

async function deleteThing({ iot, log, audit }: TidyParts, hold: Hold, { step }: Thing): Promise<void> {
  const { deviceId } = hold;
  // What somebody attached by hand, and is no certificate of the device, would keep the thing alive.
  for (const principal of await principalsOf(iot, deviceId)) await unlessMissing(iot.detachThing(deviceId, principal));
  await unlessMissing(iot.deleteThing(deviceId));
  await hold.write(async (sql) => {
    await recordThing(sql, deviceId, 'wanted');
    await recordReview(sql, deviceId, 'gone');
  });
  // Nobody ever made one.
  if (step === 'wanted') return;
  log.info({ device: deviceId }, 'A retired device was removed from AWS IoT');
  void audit.add({ ...BY_ITSELF, action: 'removeThing', deviceId });
}

const BY_ITSELF = { actor: 'service', result: 'done' } as const;

async function unlessMissing<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return null;
  }
}
