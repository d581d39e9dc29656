import { X509Certificate } from 'node:crypto';
import { ENROLMENT_FILE } from '@paddock/agent/enrol/record.ts';
import { tlsKeyOf } from '@paddock/agent/enrol/tls-key.ts';
import { pinOfClaim } from '@paddock/agent/enrol/pin.ts';
import { formatTime, TIME_FILE } from '@paddock/agent/clock/time-file.ts';
import { isKnown } from '@paddock/agent/clock/trusted-time.ts';
import { encodeBase64url } from '@paddock/shared/base64url.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnrolBench, KEY_FILE } from '../../harness/agent/enrolling.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { FakeEnrolment } from '../../harness/agent/fake-enrolment.ts';
import { MemoryDisk } from '../../harness/agent/memory-disk.ts';
import { makeAuthority } from '../../harness/certificates.ts';
import { makeTestKey } from '../../harness/signing.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let cloud: FakeEnrolment;
let bench: EnrolBench | null = null;
beforeEach(async () => {
  cloud = await FakeEnrolment.start();
});
afterEach(async () => {
  bench?.stop();
  bench = null;
  await cloud.stop();
});

async function enrolled(): Promise<EnrolBench> {
  bench = await EnrolBench.open(cloud);
  expect(await bench.join()).toBe('accepted');
  return bench;
}

/** Waits for an attempt that fails, and lets none follow. */
async function failing(opened: EnrolBench): Promise<string | undefined> {
  bench = opened;
  const joined = opened.join();
  await until(() => opened.said.length > 0, 'it says why it waits');
  opened.stop();
  expect(await joined).toBe('stopped');
  expect([opened.said, opened.enrolment.standing()]).toEqual([['waiting'], null]);
  return opened.codes.at(-1);
}

describe('a device with a claim', () => {
  it('enrols by itself: identity, claim, facts and a request for its own key', async () => {
    const { said, enrolment, keys } = await enrolled();
    const [request] = cloud.requests;
    expect(request).toMatchObject({ serialNumber: 'SN 0001', model: 'cp-22', facts: { hostname: 'kiosk' } });
    expect(request?.jwk).toMatchObject(keys.current().public.jwk);
    expect(request?.claim).toContain('.');
    const standing = enrolment.standing();
    expect([standing?.device, standing?.mqttUrl, said]).toEqual([cloud.device, cloud.mqttUrl, ['enrolled']]);
    const own = new X509Certificate(standing?.certificates ?? '');
    expect(own.publicKey.export({ type: 'spki', format: 'der' })).toEqual(tlsKeyOf(standing?.tlsKey ?? '').publicKey);
    expect(standing?.keys.map(({ keyId }) => keyId)).toEqual([cloud.online.signing.keyId]);
  });

  it.each([
    ['in 1970', 0],
    ['in 2035', Date.UTC(2035, 0, 1)],
  ])('enrols with a clock %s, and knows the time from it', async (_what, wall) => {
    bench = await EnrolBench.open(cloud);
    bench.clock.setWall(wall);
    expect(await bench.join()).toBe('accepted');
    const { clock, time } = bench;
    const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
    expect(isKnown(now) && now.earliest <= clock.truth() && clock.truth() <= now.latest).toBe(true);
  });

  it('enrols although the time that it kept lies far ahead, and knows the time from it', async () => {
    const disk = new MemoryDisk();
    disk.files.set(TIME_FILE, await formatTime(wallMs(Date.UTC(2060, 0, 1))));
    bench = await EnrolBench.open(cloud, {}, disk);
    expect(await bench.join()).toBe('accepted');
    const { clock, time } = bench;
    const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
    expect(isKnown(now) && now.earliest <= clock.truth() && clock.truth() <= now.latest).toBe(true);
  });

  it('is the same after a restart, without a word to the cloud', async () => {
    const before = (await enrolled()).enrolment.standing();
    bench = await (bench ?? expect.unreachable()).restarted();
    expect(bench.enrolment.standing()).toEqual(before);
    expect(cloud.requests).toHaveLength(1);
  });

  it('enrols anew when its identity key was lost: the certificate of another key says nothing of it', async () => {
    const { disk } = await enrolled();
    await cloud.publish();
    disk.files.delete(KEY_FILE);
    bench = await (bench ?? expect.unreachable()).restarted();
    expect([bench.enrolment.standing(), bench.codes]).toEqual([null, ['enrolment_other_key']]);
    expect(await bench.join()).toBe('accepted');
    expect(cloud.requests[1]?.jwk).toMatchObject(bench.keys.current().public.jwk);
    expect(cloud.requests.map(({ device, claim }) => [device, typeof claim])).toEqual([
      [undefined, 'string'],
      [undefined, 'string'],
    ]);
  });

  it('keeps the newest list of keys as the floor when its identity key was lost', async () => {
    await cloud.publish();
    const { disk } = await enrolled();
    disk.files.delete(KEY_FILE);
    cloud.lists.pop();
    const opened = await (bench ?? expect.unreachable()).restarted();
    bench = opened;
    const joined = opened.join();
    await until(() => opened.codes.includes('key_list_old'), 'the older list is refused');
    opened.stop();
    expect([await joined, cloud.requests.length]).toEqual(['stopped', 1]);
  });

  it.each([
    ['damaged', (bytes: Uint8Array) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte))],
    ['cut', (bytes: Uint8Array) => bytes.slice(0, 100)],
    ['empty', () => new Uint8Array()],
  ])('enrols again when its file is %s', async (_what, spoil) => {
    const { disk } = await enrolled();
    disk.files.set(ENROLMENT_FILE, spoil(disk.files.get(ENROLMENT_FILE) ?? expect.unreachable()));
    bench = await (bench ?? expect.unreachable()).restarted();
    expect(bench.enrolment.standing()).toBeNull();
    expect(await bench.join()).toBe('accepted');
  });
});

describe('what the cloud says instead', () => {
  it('pending: it says so once with its fingerprint, and asks again until it is let in', async () => {
    cloud.decide = () => ({ status: 'pending', retryAfterSeconds: 20 });
    bench = await EnrolBench.open(cloud);
    const joined = bench.join();
    await bench.asked(3, 1_000);
    expect(bench.said).toEqual(['pending']);
    expect(bench.clock.monotonic()).toBeGreaterThan(40_000);
    cloud.decide = () => ({});
    await bench.asked(4, 10_000);
    expect(await joined).toBe('accepted');
    expect(bench.said).toEqual(['pending', 'enrolled']);
  });

  it('rejected: it leaves the cloud alone for half an hour at least', async () => {
    cloud.decide = () => ({ status: 'rejected' });
    bench = await EnrolBench.open(cloud);
    const joined = bench.join();
    await until(() => bench?.said.includes('rejected') === true, 'it is rejected');
    await bench.clock.advance(HOUR / 2);
    expect(cloud.requests).toHaveLength(1);
    bench.stop();
    expect(await joined).toBe('stopped');
  });

  it('retired: it stops for good, also after a restart', async () => {
    cloud.decide = () => ({ status: 'retired' });
    bench = await EnrolBench.open(cloud);
    expect(await bench.join()).toBe('retired');
    bench = await bench.restarted();
    expect([await bench.join(), bench.said, bench.enrolment.standing()]).toEqual(['retired', ['retired'], null]);
    expect(cloud.requests).toHaveLength(1);
  });

  it('retired: a new identity key is another device, and asks', async () => {
    cloud.decide = () => ({ status: 'retired' });
    bench = await EnrolBench.open(cloud);
    expect(await bench.join()).toBe('retired');
    bench.disk.files.delete(KEY_FILE);
    cloud.decide = () => ({});
    bench = await bench.restarted();
    expect(await bench.join()).toBe('accepted');
  });

  it.each(['claim_used', 'claim_expired', 'claim_signature_invalid', 'batch_revoked', 'batch_unknown'])(
    'no, %s: it asks without the claim at once, also after a restart, and waits for a human',
    async (code) => {
      cloud.refuses = ({ claim }) => (claim === undefined ? null : { status: 403, code });
      cloud.decide = () => ({ status: 'pending' });
      bench = await EnrolBench.open(cloud);
      void bench.join();
      await until(() => bench?.said.includes('pending') === true, 'it waits for a human');
      bench = await bench.restarted();
      cloud.decide = () => ({});
      expect(await bench.join()).toBe('accepted');
      expect(cloud.asked.map(({ claim, serialNumber, model }) => [typeof claim, serialNumber, model])).toEqual([
        ['string', 'SN 0001', 'cp-22'],
        ['undefined', 'SN 0001', 'cp-22'],
        ['undefined', 'SN 0001', 'cp-22'],
      ]);
    },
  );

  it('no to a claim: another one that is put there is shown again', async () => {
    cloud.refuses = ({ claim }) => (claim === undefined ? null : { status: 403, code: 'claim_used' });
    cloud.decide = () => ({ status: 'pending' });
    bench = await EnrolBench.open(cloud);
    void bench.join();
    await until(() => bench?.said.includes('pending') === true, 'it waits for a human');
    cloud.refuses = () => null;
    cloud.decide = () => ({});
    bench = await bench.restarted({ pin: await pinOfClaim(cloud.claim()) });
    expect(await bench.join()).toBe('accepted');
    expect(cloud.asked.at(-1)?.claim).toBeDefined();
  });

  it('no, for another reason: its code is told, and the claim is shown again', async () => {
    cloud.refuses = () => ({ status: 429, code: 'nonces_too_many' });
    expect(await failing(await EnrolBench.open(cloud))).toBe('nonces_too_many');
    cloud.refuses = () => null;
    bench = await (bench ?? expect.unreachable()).restarted();
    expect(await bench.join()).toBe('accepted');
    expect(cloud.asked.map(({ claim }) => typeof claim)).toEqual(['string', 'string']);
  });

  it('no, its key is revoked: the console says what it takes', async () => {
    cloud.refuses = () => ({ status: 403, code: 'key_revoked' });
    bench = await EnrolBench.open(cloud);
    void bench.join();
    await until(() => bench?.said.includes('revoked') === true, 'it says so');
    expect(bench.codes.at(-1)).toBe('key_revoked');
  });
});

describe('nothing is believed', () => {
  it('of a server of another authority than the pinned one', async () => {
    const other = await makeAuthority();
    await cloud.publish({ authorities: [encodeBase64url(other.der)] });
    const pin = await pinOfClaim(cloud.claim({ ca: other.fingerprint }));
    expect(await failing(await EnrolBench.open(cloud, { pin }))).toBe('certificate_untrusted');
    expect(cloud.requests).toEqual([]);
  });

  it('of a list of keys that another root sealed', async () => {
    cloud.lists.length = 0;
    await cloud.publish({}, await makeTestKey());
    expect(await failing(await EnrolBench.open(cloud))).toBe('key_list_seal');
    expect(cloud.requests).toEqual([]);
  });

  it.each<[string, Parameters<FakeEnrolment['decide']>[0] | object]>([
    ['enrolled_mismatch', { nonce: 'aaaaaaaaaaa' }],
    ['enrolled_mismatch', { digest: 'a'.repeat(43) }],
    ['enrolled_expired', { expiresAt: '2020-01-01T00:00:00.000Z' }],
    ['enrolled_incomplete', { certificate: undefined }],
    ['enrolled_incomplete', { mqttUrl: 'mqtt://127.0.0.1:1883' }],
    ['certificate_foreign', { device: 'kiosk-other' }],
  ])('of an answer with %s', async (code, change) => {
    cloud.decide = () => change;
    expect(await failing(await EnrolBench.open(cloud))).toBe(code);
  });

  it('of an answer by a key that no list names', async () => {
    cloud.answerKey = await makeTestKey();
    expect(await failing(await EnrolBench.open(cloud))).toBe('key_unknown');
  });
});

describe('a certificate', () => {
  it('is renewed when a third of its life is over, by trusted time alone', async () => {
    const { clock, enrolment, keep, asked } = bound(await enrolled());
    const before = enrolment.standing()?.certificates;
    clock.setWall(0);
    void keep();
    clock.skip(9.5 * DAY);
    await clock.advance(HOUR);
    expect(cloud.requests).toHaveLength(1);
    clock.skip(2 * DAY);
    await asked(2, 30_000);
    await until(() => enrolment.standing()?.certificates !== before, 'it is renewed');
    expect(clock.monotonic()).toBeLessThan(11.7 * DAY);
  });

  it('holds until the new one is on the disk', async () => {
    const { clock, disk, enrolment, keep, asked } = bound(await enrolled());
    const before = enrolment.standing()?.certificates;
    void keep();
    disk.failNext(1, 0, ENROLMENT_FILE);
    clock.skip(11 * DAY);
    await asked(2, 30_000);
    expect(enrolment.standing()?.certificates).toBe(before);
    await asked(3, 30_000);
    await until(() => enrolment.standing()?.certificates !== before, 'it is renewed');
  });

  it('is renewed when the broker refuses it, and not once a minute when it refuses the next one too', async () => {
    const { clock, enrolment, keep, asked } = bound(await enrolled());
    void keep();
    enrolment.linkDown('ECONNREFUSED');
    await clock.advance(10 * 60_000);
    expect(cloud.requests).toHaveLength(1);
    const refused = (): void => enrolment.linkDown('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
    refused();
    await asked(2, 30_000);
    for (let minute = 0; minute < 240; minute += 1) {
      refused();
      await clock.advance(60_000);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(cloud.requests.length).toBeGreaterThan(3);
    expect(cloud.requests.length).toBeLessThan(12);
  });

  it('is not renewed for a retired device, which stops for good', async () => {
    const { enrolment, keep, asked } = bound(await enrolled());
    cloud.decide = () => ({ status: 'retired' });
    const kept = keep();
    enrolment.linkDown('5');
    await asked(2, 30_000);
    expect([await kept, enrolment.standing()]).toEqual(['retired', null]);
  });
});

describe('a cloud that changed its authority', () => {
  it('is believed again by a device that slept, when the lists of the fleet root say so', async () => {
    await enrolled();
    const next = await cloud.changeAuthority();
    await cloud.publish({ authorities: [encodeBase64url(next.der)] });
    await cloud.publish();
    bench = await (bench ?? expect.unreachable()).restarted();
    const { enrolment, keep, asked } = bound(bench);
    const before = enrolment.standing()?.certificates;
    void keep();
    // What its broker shows is issued by the next one, too.
    enrolment.linkDown('certificate_untrusted');
    await asked(2, 30_000);
    await until(() => enrolment.standing()?.certificates !== before, 'it goes on');
    expect(enrolment.standing()?.authorities).toEqual([Buffer.from(next.der)]);
  });

  it('is believed by a device that comes late with a claim of before', async () => {
    const claim = cloud.claim();
    await cloud.changeAuthority();
    await cloud.publish();
    bench = await EnrolBench.open(cloud, { pin: await pinOfClaim(claim) });
    expect(await bench.join()).toBe('accepted');
  });

  it('is not believed by a list that another root sealed, nor without a newer one', async () => {
    const { clock, codes, keep } = bound(await enrolled());
    const next = await cloud.changeAuthority();
    void keep();
    clock.skip(11 * DAY);
    await clock.advance(30_000);
    await until(() => codes.includes('certificate_untrusted'), 'it does not believe');
    await cloud.publish({ authorities: [encodeBase64url(next.der)] }, await makeTestKey());
    await clock.advance(HOUR);
    expect(cloud.requests).toHaveLength(1);
  });
});

/** Its methods can be called without it. */
const bound = (one: EnrolBench) => ({
  clock: one.clock,
  disk: one.disk,
  enrolment: one.enrolment,
  codes: one.codes,
  keep: () => one.keep(),
  asked: (times: number, stepMs: number) => one.asked(times, stepMs),
});
