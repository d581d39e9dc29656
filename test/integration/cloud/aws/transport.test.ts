import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { AwsTransport } from '@paddock/cloud/aws/transport.ts';
import { ARN_PREFIX, type FakeAccount, type FakeCertificate } from '../../../harness/aws/account.ts';
import { GROUP, requestFor, startAwsBench, type AwsBench, type Request } from '../../../harness/aws/bench.ts';
import { TROUBLES, type Trouble } from '../../../harness/aws/server.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { newKey, requestOf } from '../../../harness/openssl.ts';

let database: FreshDatabase;
let bench: AwsBench;
beforeAll(async () => {
  database = await freshDatabase();
  bench = await startAwsBench(database.store);
});
beforeEach(() => bench.fake.reset());
afterAll(async () => {
  await bench.close();
  await database.drop();
});

const rowsOf = (deviceId: string) =>
  database.store.query<{ step: string; certificate_id: string }>(
    'SELECT step, certificate_id FROM aws_certificates WHERE device_id = $1',
    [deviceId],
  );

/** The device has its thing in the group, and one certificate in all, which is active, its own, and recorded. */
async function expectReady({ deviceId, csr }: Request): Promise<void> {
  const { account } = bench.fake;
  expect(account.groups.get(GROUP)).toContain(deviceId);
  const certificates = bench.certificates();
  expect(certificates.map(({ status }) => status)).toEqual(['ACTIVE']);
  const [{ id, things, policies, pem }] = certificates as [(typeof certificates)[number]];
  expect([[...things], [...policies]]).toEqual([[deviceId], [`${GROUP}-device`]]);
  expect(csrKey(csr)).toContain(
    new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }).toString('hex'),
  );
  expect(await rowsOf(deviceId)).toEqual([{ step: 'active', certificate_id: id }]);
}
const csrKey = (csr: Uint8Array): string => Buffer.from(csr).toString('hex');

async function expectGone(deviceId: string): Promise<void> {
  expect([...bench.fake.account.things.keys()]).toEqual([]);
  expect(bench.certificates()).toEqual([]);
  expect(await rowsOf(deviceId)).toEqual([]);
  expect(await database.store.query('SELECT review FROM aws_things WHERE device_id = $1', [deviceId])).toEqual([
    { review: 'gone' },
  ]);
}

/** As a device does: asked until there is an answer. */
async function askUntilDone(service: () => Promise<AwsTransport>, request: Request): Promise<number> {
  for (let failures = 0; ; failures++) {
    const transport = await service();
    try {
      await transport.certificateFor(request);
      return failures;
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/^aws_(failed|throttled)$/) });
      if (failures > 5) throw error;
    }
  }
}

describe('a device that is let in', () => {
  test('has a thing, its policy and one active certificate, and is told where to go', async () => {
    const request = await bench.device({ serialNumber: 'SN 42/ä' });
    const transport = await bench.service();
    const { chain, mqttUrl, notAfter, renewAfter } = await transport.certificateFor(request);
    await expectReady(request);
    expect(mqttUrl).toBe('mqtts://a1b2c3-ats.iot.eu-test-1.amazonaws.com:8883');
    expect(new X509Certificate(chain[0] ?? Buffer.alloc(0)).issuer).toContain('CN=Make-believe IoT');
    expect(new Date(notAfter).getUTCFullYear()).toBe(2049);
    expect(Math.round((renewAfter - Date.now()) / 86_400_000)).toBe(365);
    expect(bench.fake.account.things.get(request.deviceId)).toEqual({ serial: 'SN_42/_' });
    expect(bench.fake.calls).toHaveLength(9);
  });

  test('asked twice, gets the same certificate, and nothing is made again', async () => {
    const request = await bench.device();
    const transport = await bench.service();
    const first = await transport.certificateFor(request);
    bench.fake.calls.length = 0;
    expect(await transport.certificateFor(request)).toEqual(first);
    expect(bench.fake.calls).toEqual([
      'DescribeCertificate',
      'CreateThing',
      'AddThingToThingGroup',
      'AttachPolicy',
      'AttachThingPrincipal',
    ]);
    await expectReady(request);
  });

  test('that asks twice at once gets one certificate', async () => {
    const request = await bench.device();
    const services = await Promise.all([bench.service(), bench.service(), bench.service()]);
    const asked = await Promise.allSettled(services.map((one) => one.certificateFor(request)));
    const serials = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value.serial] : []));
    const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason as { code: string }] : []));
    expect(new Set(serials).size).toBe(1);
    expect(refused.map(({ code }) => code)).toEqual(Array(3 - serials.length).fill('aws_busy'));
    await expectReady(request);
  });

  test('with a new key, has its old certificate taken away', async () => {
    const request = await bench.device();
    const transport = await bench.service();
    await transport.certificateFor(request);
    const next = requestFor(request.deviceId);
    await transport.certificateFor(next);
    await bench.tidied(transport, 1);
    await expectReady(next);
  });

  test.each<readonly [string, 'another' | 'the same', (account: FakeAccount) => unknown]>([
    ['its certificate', 'another', ({ certificates }: FakeAccount) => certificates.clear()],
    ['the activity of its certificate', 'another', ({ certificates }) => change(certificates, deactivate)],
    [
      'the policy of its certificate',
      'the same',
      ({ certificates }) => change(certificates, (c) => c.policies.clear()),
    ],
    ['its certificate from the thing', 'the same', ({ certificates }) => change(certificates, (c) => c.things.clear())],
    ['its thing', 'the same', removeThings],
    ['an attribute of its thing', 'the same', ({ things }) => change(things, (thing) => delete thing['serial'])],
    ['its thing from the group', 'the same', ({ groups }) => change(groups, (members) => members.clear())],
    ['the group', 'the same', ({ groups }) => groups.clear()],
    ['the policy', 'the same', removePolicies],
    ['everything', 'another', removeEverything],
  ])('and of whom somebody removed %s by hand has all again, with %s certificate', async (_, which, remove) => {
    const request = await bench.device({ serialNumber: 'SN-1' });
    const transport = await bench.service();
    const before = await transport.certificateFor(request);
    remove(bench.fake.account);
    await askUntilDone(async () => transport, request);
    const after = await transport.certificateFor(request);
    await bench.tidied(transport);
    await expectReady(request);
    expect(bench.fake.account.things.get(request.deviceId)).toEqual({ serial: 'SN-1' });
    expect(after.serial === before.serial).toBe(which === 'the same');
  });

  test.each([
    ['csr_key_unsupported', 'ed25519'],
    ['csr_key_unsupported', 'p384'],
  ] as const)('is refused with %s for a key of %s', async (code, kind) => {
    const { deviceId } = await bench.device();
    const transport = await bench.service();
    const asked = { deviceId, csr: requestOf(newKey(kind)), identityThumbprint: 'another key' };
    await expect(transport.certificateFor(asked)).rejects.toMatchObject({ code });
    expect(bench.fake.calls).toEqual([]);
  });

  test('whose identity key is taken back, or which is retired, loses what it has', async () => {
    const [barred, retired] = [await bench.device(), await bench.device()];
    const transport = await bench.service();
    await transport.certificateFor(barred);
    await transport.certificateFor(retired);
    await database.store.transaction(async (sql) => {
      await sql.query("SELECT set_config('paddock.actor', 'test', true)");
      await sql.query('UPDATE device_keys SET revoked_at = now() WHERE device_id = $1', [barred.deviceId]);
    });
    await bench.retire(retired.deviceId);
    await bench.tidied(transport);
    expect(bench.certificates()).toEqual([]);
    expect([...bench.fake.account.things.keys()]).toEqual([barred.deviceId]);
    for (const request of [barred, retired])
      await expect(transport.certificateFor(request)).rejects.toMatchObject({ code: 'device_retired' });
  });
});

const change = <T>(all: ReadonlyMap<string, T>, how: (one: T) => unknown): void => {
  for (const one of all.values()) how(one);
};
const deactivate = (certificate: FakeCertificate): void => {
  certificate.status = 'INACTIVE';
};
function removeThings({ things, groups, certificates }: FakeAccount): void {
  things.clear();
  change(groups, (members) => members.clear());
  change(certificates, (certificate) => certificate.things.clear());
}
function removePolicies({ policies, certificates }: FakeAccount): void {
  policies.clear();
  change(certificates, (certificate) => certificate.policies.clear());
}
function removeEverything(account: FakeAccount): void {
  removeThings(account);
  removePolicies(account);
  account.certificates.clear();
}

describe('the policy', () => {
  const documents = () => [...(bench.fake.account.policies.get(`${GROUP}-device`)?.versions.values() ?? [])];

  test('is put in force again when it is another one, and old versions make room', async () => {
    const { account } = bench.fake;
    account.createPolicy(`${GROUP}-device`, '{"old":0}');
    for (const old of [1, 2, 3, 4]) account.createPolicyVersion(`${GROUP}-device`, `{"old":${old}}`, old === 1);
    const request = await bench.device();
    await (await bench.service()).certificateFor(request);
    expect(documents()).toHaveLength(5);
    expect(documents()).not.toContain('{"old":0}');
    expect(JSON.stringify(account.getPolicy(`${GROUP}-device`))).toContain(`${ARN_PREFIX}client/`);
    await (await bench.service()).certificateFor(await bench.device());
    expect(bench.fake.calls.filter((call) => call === 'CreatePolicyVersion')).toHaveLength(1);
  });
});

/** An answer that another try would get as well. */
const isAnswer = (trouble: Trouble): boolean => trouble in ANSWERS;
const ANSWERS = { denied: 'aws_denied', limit: 'aws_limit', refused: 'aws_refused' } as const;
const isSlow = (trouble: Trouble): boolean => trouble.startsWith('slow');

/** Every number of a call that the flow makes when nothing goes wrong, and some for the calls that trouble adds. */
const POSITIONS = [1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

describe.each(TROUBLES)('trouble of the kind %s', (trouble) => {
  test.each(POSITIONS)('at call %i of letting a device in: the next try ends as always', async (at) => {
    const request = await bench.device();
    let hits = 0;
    bench.fake.trouble = (number) => (number === at && (hits += 1) > 0 ? trouble : null);
    const failures = await askUntilDone(() => bench.service({ impatient: isSlow(trouble) }), request);
    expect(hits).toBe(1);
    const isCertificateThrottled = trouble === 'throttle' && bench.fake.calls[at - 1] === 'CreateCertificateFromCsr';
    expect(failures > 0).toBe(!isCertificateThrottled);
    await bench.fake.idle();
    await bench.tidied(await bench.service());
    await expectReady(request);
  });

  test('at every call of replacing and retiring, one after the other', async () => {
    let hit = 0;
    for (let at = 1; at <= 16; at++) hit += (await replaceAndRetire(at, trouble)) ? 1 : 0;
    // Five of letting it in again, four of taking the old certificate away, seven of retiring it.
    expect(hit).toBeGreaterThanOrEqual(15);
  });
});

/** The n-th call of everything after the first certificate fails. @returns whether there were so many */
async function replaceAndRetire(at: number, trouble: Trouble): Promise<boolean> {
  bench.fake.reset();
  bench.fake.account.lateDetach = at % 2 === 0;
  const request = await bench.device();
  const transport = await bench.service({ impatient: isSlow(trouble) });
  await askUntilDone(async () => transport, request);
  const first = bench.fake.calls.length;
  bench.fake.trouble = (number) => (number === first + at ? trouble : null);
  const next = requestFor(request.deviceId);
  await askUntilDone(async () => transport, next);
  await bench.fake.idle();
  await bench.tidied(transport);
  await expectReady(next);
  await bench.retire(request.deviceId);
  await bench.tidied(transport);
  await bench.fake.idle();
  await bench.tidied(transport);
  await expectGone(request.deviceId);
  return bench.fake.calls.length >= first + at;
}

describe('the client’s own tries', () => {
  test.each(TROUBLES.filter((trouble) => !isAnswer(trouble)))(
    'outlive a single %s at any call but that of making the certificate',
    async (trouble) => {
      const request = await bench.device();
      const seen = new Set<string>();
      bench.fake.trouble = (_, action) => {
        if (action === 'CreateCertificateFromCsr' || seen.has(action)) return null;
        seen.add(action);
        return trouble;
      };
      const transport = await bench.service({ attempts: 3, impatient: isSlow(trouble) });
      await transport.certificateFor(request);
      expect(seen.size).toBeGreaterThanOrEqual(8);
      await expectReady(request);
    },
  );
});

describe('an answer of AWS that is no', () => {
  test.each(Object.entries(ANSWERS))(
    'such as %s is told as a failure that is worth another try, with %s',
    async (trouble, code) => {
      const request = await bench.device();
      bench.fake.trouble = (_, action) => (action === 'AttachPolicy' ? (trouble as keyof typeof ANSWERS) : null);
      const transport = await bench.service();
      const refused = { code: 'aws_failed', cause: expect.objectContaining({ code }) as unknown };
      await expect(transport.certificateFor(request)).rejects.toMatchObject(refused);
      bench.fake.trouble = () => null;
      await transport.certificateFor(request);
      await expectReady(request);
    },
  );

  test('to making the certificate leaves nothing to be looked for', async () => {
    for (const trouble of Object.keys(ANSWERS) as (keyof typeof ANSWERS)[]) {
      const request = await bench.device();
      bench.fake.trouble = (_, action) => (action === 'CreateCertificateFromCsr' ? trouble : null);
      await expect((await bench.service()).certificateFor(request)).rejects.toMatchObject({ code: 'aws_failed' });
      expect(await rowsOf(request.deviceId)).toEqual([]);
    }
  });

  test('to the job ends its turn, and the next device is not asked for', async () => {
    const requests = [await bench.device(), await bench.device()];
    const transport = await bench.service();
    for (const request of requests) await transport.certificateFor(request);
    for (const { deviceId } of requests) await bench.retire(deviceId);
    bench.fake.calls.length = 0;
    bench.fake.trouble = () => 'denied';
    await bench.tidied(transport, 1);
    expect(bench.fake.calls).toHaveLength(1);
    bench.fake.trouble = () => null;
    await bench.tidied(transport);
    expect(bench.certificates()).toEqual([]);
  });
});

describe('a device that AWS keeps waiting', () => {
  test('is told to come again, and goes on from where it was', async () => {
    const request = await bench.device();
    let aheadMs = 0;
    bench.fake.before = async () => void (aheadMs += 5_000);
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs };
    const transport = await bench.service({ clock });
    await expect(transport.certificateFor(request)).rejects.toMatchObject({ code: 'aws_slow' });
    const [made] = bench.certificates();
    expect(made).toBeDefined();
    await transport.certificateFor(request);
    expect(bench.certificates().map(({ id }) => id)).toEqual([made?.id]);
    await expectReady(request);
  });

  test('for so long that another one took it over writes nothing more, and what it made is removed', async () => {
    const request = await bench.device();
    const [first, second] = [await bench.service(), await bench.service()];
    let isTaken = false;
    bench.fake.before = async (_, action) => {
      if (action !== 'CreateCertificateFromCsr' || isTaken) return;
      isTaken = true;
      await database.store.query("UPDATE aws_things SET held_until = '-infinity'");
      await second.certificateFor(request);
    };
    await expect(first.certificateFor(request)).rejects.toMatchObject({ code: 'aws_hold_lost' });
    expect(bench.certificates()).toHaveLength(2);
    await bench.tidied(second);
    await expectReady(request);
  });
});

const CALLS = 12;

describe('two troubles, one after the other', () => {
  const quick = TROUBLES.filter((trouble) => !isSlow(trouble));
  const kindAt = (number: number): Trouble => quick[number % quick.length] ?? 'error';

  test.each(Array.from({ length: CALLS - 1 }, (_, n) => n + 1))(
    'the first at call %i, the second at any later one: it ends as always',
    async (at) => {
      for (let later = at + 1; later <= CALLS; later += 1) {
        bench.fake.reset();
        const request = await bench.device();
        bench.fake.trouble = (number) => {
          if (number === at) return kindAt(at + later);
          return number === later ? kindAt(2 * at + later) : null;
        };
        await askUntilDone(() => bench.service(), request);
        await bench.fake.idle();
        await bench.tidied(await bench.service());
        await expectReady(request);
      }
    },
  );
});
