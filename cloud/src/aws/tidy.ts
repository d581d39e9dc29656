import type { AwsIot, Clock, Log, Store } from '../ports.ts';
import { abandon } from './climb.ts';
import { AwsTransportError, codeOf, isMissing } from './errors.ts';
import { findUnrecorded } from './find.ts';
import { holding, type Hold } from './hold.ts';
import type { Names } from './names.ts';
import { retryAfterMs } from './pauses.ts';
import { ABANDONED_AFTER_MS, choresOf, SWEPT_AFTER_MS, type Certificate, type Chore } from './progress.ts';
import { dueDevices, forgetCertificate, forgetThing, readKnown, recordLeaving, recordTurn } from './records.ts';

export interface TidyParts {
  readonly iot: AwsIot;
  readonly clock: Clock;
  readonly log: Log;
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
 * Takes away what is not needed any more: certificates that were replaced, given up or barred, everything of retired
 * devices, and what lost answers left behind. Each device is tried until nothing is left of it.
 * @param now the database's clock
 */
export async function tidy(parts: TidyParts, store: Store, now: number): Promise<void> {
  const endBy = parts.clock.monotonic() + TURN_MS;
  const before = { lost: now - SWEPT_AFTER_MS, idle: now - ABANDONED_AFTER_MS };
  for (const deviceId of await dueDevices(store, before, DEVICES_A_TURN)) {
    if (parts.clock.monotonic() >= endBy) return;
    const code = await tidyDevice(parts, store, deviceId);
    if (FOR_ALL.has(code)) return;
  }
}

/** @returns the code of what went wrong, or null */
async function tidyDevice(parts: TidyParts, store: Store, deviceId: string): Promise<unknown> {
  try {
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
    const [chore] = choresOf(known.certificates, known.standing, known.now);
    if (chore === undefined) {
      await hold.write((sql) => recordTurn(sql, hold.deviceId, { failures: 0, againInMs: LOOK_AGAIN_MS }));
      return;
    }
    await hold.write(async () => undefined);
    await carryOut(parts, store, hold, chore);
  }
}

async function carryOut(parts: TidyParts, store: Store, hold: Hold, chore: Chore): Promise<void> {
  switch (chore.do) {
    case 'abandon':
      return abandon(hold, chore.certificate);
    case 'remove':
      return remove(parts, hold, chore.certificate);
    case 'sweep':
      return sweep(parts, store, hold, chore.certificate);
    case 'deleteThing':
      return deleteThing(parts, hold);
  }
}

/** Cut off first; every part may have been done by an earlier try. */
async function remove({ iot, names, log }: TidyParts, hold: Hold, certificate: Certificate): Promise<void> {
  const { id, arn } = certificate;
  if (id !== null && arn !== null) {
    await unlessMissing(iot.setActive(id, false));
    await unlessMissing(iot.detachPolicy(names.policy, arn));
    await unlessMissing(iot.detachThing(hold.deviceId, arn));
    await unlessMissing(iot.deleteCertificate(id));
  }
  await hold.write((sql) => forgetCertificate(sql, certificate.requestId));
  log.info({ device: hold.deviceId, certificate: id }, 'A certificate was removed from AWS IoT');
}

async function sweep({ iot }: TidyParts, store: Store, hold: Hold, certificate: Certificate): Promise<void> {
  const found = await findUnrecorded({ iot, sql: store }, certificate);
  await hold.write(async (sql) => {
    await recordLeaving(sql, hold.deviceId, certificate.keyDigest, found);
    await forgetCertificate(sql, certificate.requestId);
  });
}

async function deleteThing({ iot, log }: TidyParts, hold: Hold): Promise<void> {
  const { deviceId } = hold;
  // What somebody attached by hand would keep the thing alive.
  for (const principal of (await unlessMissing(iot.principalsOf(deviceId))) ?? [])
    await unlessMissing(iot.detachThing(deviceId, principal));
  await unlessMissing(iot.deleteThing(deviceId));
  await hold.write((sql) => forgetThing(sql, deviceId));
  log.info({ device: deviceId }, 'A retired device was removed from AWS IoT');
}

async function unlessMissing<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return null;
  }
}
