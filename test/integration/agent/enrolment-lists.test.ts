import { ENROLMENT_FILE } from '@paddock/agent/enrol/record.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnrolBench } from '../../harness/agent/enrolling.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { FakeEnrolment } from '../../harness/agent/fake-enrolment.ts';
import { makeTestKey } from '../../harness/signing.ts';

let cloud: FakeEnrolment;
let bench: EnrolBench;
beforeEach(async () => {
  cloud = await FakeEnrolment.start();
  bench = await EnrolBench.open(cloud);
  expect(await bench.join()).toBe('accepted');
});
afterEach(async () => {
  bench.stop();
  await cloud.stop();
});

describe('a list of keys', () => {
  it('is fetched when an answer comes by a new key, and the certificate is left as it is', async () => {
    const { clock, enrolment } = bench;
    const next = await makeTestKey();
    await cloud.publish({ keys: [cloud.online.publicJwk, next.publicJwk] });
    void bench.keep();
    enrolment.keyUnknown();
    await clock.advance(30_000);
    await until(() => enrolment.standing()?.keys.length === 2, 'the new list');
    expect(cloud.requests).toHaveLength(1);
  });

  it('is fetched when an answer names a newer one, and a withdrawn key is believed no more', async () => {
    const { clock, enrolment } = bench;
    const next = await makeTestKey();
    await cloud.publish({ keys: [next.publicJwk] });
    void bench.keep();
    enrolment.keyListSeen(1, 0);
    await clock.advance(60_000);
    expect(enrolment.standing()?.keys.map(({ keyId }) => keyId)).toEqual([cloud.online.signing.keyId]);
    enrolment.keyListSeen(2, 0);
    await clock.advance(30_000);
    const believed = (): string[] | undefined => enrolment.standing()?.keys.map(({ keyId }) => keyId);
    await until(() => believed()?.join() === next.signing.keyId, 'the old key is gone');
    expect(cloud.requests).toHaveLength(1);
  });

  it('is never older than the one before, over restarts', async () => {
    await cloud.publish();
    const newer = await bench.restarted();
    bench = newer;
    void newer.keep();
    newer.enrolment.keyUnknown();
    await newer.clock.advance(30_000);
    await until(() => newer.disk.writes.some(({ path }) => path === ENROLMENT_FILE), 'the second list is kept');
    cloud.lists.pop();
    bench = await newer.restarted();
    const { clock, enrolment, codes } = bench;
    void bench.keep();
    enrolment.keyUnknown();
    await clock.advance(30_000);
    await until(() => codes.includes('key_list_old'), 'the old list is refused');
    expect(enrolment.standing()?.keys).toHaveLength(1);
  });
});

describe('a cloud that was restored from a backup', () => {
  const RESTORED = 1_795_000_000;

  it.each([
    ['the list whose version the new one has', 1],
    ['lists of greater versions than the new one', 3],
  ])('is followed by a device that saw, and lost, %s', async (_what, lost) => {
    for (let n = 0; n < lost; n += 1) await cloud.publish();
    const ahead = await bench.restarted();
    bench = ahead;
    void ahead.keep();
    ahead.enrolment.keyUnknown();
    await ahead.clock.advance(30_000);
    await until(() => ahead.disk.writes.some(({ path }) => path === ENROLMENT_FILE), 'the lost list is kept');

    // The backup is from before them, and the new epoch gets a key that signs answers.
    cloud.lists.length = 1;
    const next = await makeTestKey();
    await cloud.publish({ keys: [cloud.online.publicJwk, next.publicJwk], epoch: RESTORED });
    bench = await ahead.restarted();
    const { clock, enrolment, codes } = bench;
    void bench.keep();
    // The answers of the restored cloud say so.
    enrolment.keyListSeen(2, RESTORED);
    await clock.advance(30_000);
    await until(() => enrolment.standing()?.epoch === RESTORED, `the new epoch, ${codes.join()}`);
    expect(enrolment.standing()?.keys).toHaveLength(2);

    // The floor is on the disk: what was lost is nothing but old from now on.
    cloud.lists.length = 1;
    for (let n = 0; n < lost; n += 1) await cloud.publish();
    bench = await bench.restarted();
    expect(bench.enrolment.standing()?.epoch).toBe(RESTORED);
    void bench.keep();
    bench.enrolment.keyUnknown();
    await bench.clock.advance(30_000);
    await until(() => bench.codes.includes('key_list_old'), 'the lost lists are refused');
  });
});
