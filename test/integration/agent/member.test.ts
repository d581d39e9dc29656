import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it, type ExpectStatic, type TestContext } from 'vitest';
import { MemberProcess, paddockOn } from '../../harness/agent/member-process.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';

/** The agent looks every 30 s whether something is due. */
const WITHIN = { timeout: 120_000, interval: 200 };
const TEST_MS = 240_000;

interface Report {
  readonly start: number;
  readonly time: { readonly earliest: string | null; readonly latest: string };
  readonly payload: { readonly wallMs: number };
}

let cloud: CloudProcess;
let claims: string[];
beforeAll(async () => {
  cloud = await startCloudProcess();
  const kit = join(cloud.dataDir, 'kit.json');
  await paddockOn(cloud, 'factory-keys', 'add', 'works', '--count', '9', '--kit', kit);
  const serials = ['MB-0001', 'MB-0002', 'MB-0003', 'MB-0004', 'MB-0005', 'MB-0006', 'MB-0007'];
  claims = (await paddockOn(cloud, 'claims', 'make', ...serials, '--kit', kit)).split('\n');
}, TEST_MS);
afterAll(() => cloud.stop());

/** A test's own: several go on side by side. */
interface Side {
  readonly member: MemberProcess;
  readonly expect: ExpectStatic;
}

async function prepare({ expect, onTestFinished }: TestContext): Promise<Side> {
  const member = await MemberProcess.prepare(claims.shift() ?? '');
  onTestFinished(() => member.remove());
  return { member, expect };
}

async function itemsOf<T>({ device }: MemberProcess, path: string): Promise<T[]> {
  return (await cloud.call('GET', `/devices/${device}/${path}`)).body.items as T[];
}
const reports = (member: MemberProcess): Promise<Report[]> => itemsOf<Report>(member, 'reports');
const certificates = (member: MemberProcess): Promise<{ revokedAt: string | null }[]> =>
  itemsOf(member, 'certificates');
const goodKeys = async (member: MemberProcess): Promise<string[]> =>
  (await itemsOf<{ thumbprint: string; revokedAt: string | null }>(member, 'keys'))
    .filter(({ revokedAt }) => revokedAt === null)
    .map(({ thumbprint }) => thumbprint);

/** Reports of this moment are recorded. */
async function reporting({ member, expect }: Side): Promise<void> {
  await expect.poll(() => member.device, WITHIN).not.toBeNull();
  const before = (await reports(member))[0];
  await expect.poll(async () => (await reports(member))[0], WITHIN).not.toEqual(before);
}

/** As a script of an operator does, who has compared the fingerprint: it comes back as that device. */
async function approve(fingerprint: string, device: string | null): Promise<void> {
  const { etag } = JSON.parse(await paddockOn(cloud, 'pending', 'show', '--json', '--', fingerprint)) as {
    etag: string;
  };
  await paddockOn(cloud, 'pending', 'approve', '--seen', etag, '--device', device ?? '', '--', fingerprint);
}

async function revokeCertificates({ device }: MemberProcess): Promise<void> {
  await cloud.call('POST', `/devices/${device}/certificates/revoke`, { reason: 'a test' });
}

describe.concurrent('an agent whose wall clock is dead', () => {
  it.for([
    ['1970', Date.UTC(1970, 0, 2)],
    ['2035', Date.UTC(2035, 0, 1)],
  ] as const)(
    'enrols, reports over mutual TLS, renews and starts again in %s, and the archive knows when that was',
    { timeout: TEST_MS },
    async ([, wall], context) => {
      const side = await prepare(context);
      const { member, expect } = side;
      member.start(wall - Date.now());
      await reporting(side);
      await revokeCertificates(member);
      await expect.poll(async () => (await certificates(member)).length, WITHIN).toBe(2);
      await reporting(side);
      await member.stop();
      member.start(wall - Date.now());
      await expect.poll(async () => (await reports(member))[0]?.start, WITHIN).toBe(2);
      await reporting(side);
      const [newest] = await reports(member);
      expect(Math.abs((newest?.payload.wallMs ?? 0) - wall)).toBeLessThan(86_400_000);
      const [earliest, latest] = [Date.parse(newest?.time.earliest ?? ''), Date.parse(newest?.time.latest ?? '')];
      expect(latest - earliest).toBeLessThan(10_000);
      expect(Math.abs(Date.now() - latest)).toBeLessThan(60_000);
    },
  );
});

describe.concurrent('an agent and its cloud', () => {
  it(
    'changes its key while it runs: every report is recorded, the old key is revoked, and it goes on',
    { timeout: TEST_MS },
    async (context) => {
      const side = await prepare(context);
      const { member, expect } = side;
      member.start();
      await reporting(side);
      const before = await goodKeys(member);
      await member.command('rotate-key');
      await expect.poll(() => member.out, WITHIN).toContain('The identity key is changed.');
      const after = await goodKeys(member);
      expect(after).toHaveLength(1);
      expect(after).not.toEqual(before);
      await reporting(side);
      await member.stop();
      member.start();
      await expect.poll(async () => (await reports(member))[0]?.start, WITHIN).toBe(2);
      const rejections = await itemsOf<{ code: string }>(member, 'rejections');
      expect(rejections.map(({ code }) => code).filter((code) => code !== 'key_unknown')).toEqual([]);
    },
  );

  it(
    'comes back by approval when it was reflashed: its claim is used, its id and its history stay',
    { timeout: TEST_MS },
    async (context) => {
      const side = await prepare(context);
      const { member, expect } = side;
      member.start();
      await reporting(side);
      const { device } = member;
      await member.stop();
      await rm(join(member.home, 'state'), { recursive: true });
      member.out = '';
      member.start();
      await expect.poll(() => member.out, WITHIN).toContain('Waiting for an operator');
      const [, fingerprint = ''] = /fingerprint: (\S+)/.exec(member.out) ?? [];
      await approve(fingerprint, device);
      await expect.poll(() => member.device, WITHIN).toBe(device);
      await reporting(side);
      expect((await itemsOf<unknown>(member, 'starts')).length).toBe(2);
    },
  );

  it('gets a new key and an approval when its key was revoked', { timeout: TEST_MS }, async (context) => {
    const side = await prepare(context);
    const { member, expect } = side;
    member.start();
    await reporting(side);
    const { device } = member;
    const [key = ''] = await goodKeys(member);
    await cloud.call('POST', `/devices/${device}/keys/${key}/revoke`, { reason: 'a test' });
    await expect.poll(() => member.out, WITHIN).toContain('rotate-key --discard');
    await member.stop();
    const { fingerprint } = await member.command('rotate-key', '--discard');
    member.out = '';
    member.start();
    await expect.poll(() => member.out, WITHIN).toContain(`Its fingerprint: ${String(fingerprint)}`);
    await approve(String(fingerprint), device);
    await expect.poll(() => member.device, WITHIN).toBe(device);
    await reporting(side);
  });

  it(
    'ends with its own code when it is retired, and at every start after that',
    { timeout: TEST_MS },
    async (context) => {
      const side = await prepare(context);
      const { member, expect } = side;
      member.start();
      await reporting(side);
      await cloud.call('POST', `/devices/${member.device}/retire`);
      expect(await member.ended).toBe(3);
      expect(member.out).toContain('The cloud has retired this device for good');
      member.log = '';
      member.start();
      expect(await member.ended).toBe(3);
      expect(member.log).toContain('"reason":"command","basedOn":"clean-end","detail":"retired"');
    },
  );
});

/** Alone: nobody else may need the cloud meanwhile. */
describe('an agent whose cloud is away at its first boot', () => {
  it(
    'says so once, asks again with growing pauses, and is let in when it is there',
    { timeout: TEST_MS },
    async (context) => {
      const side = await prepare(context);
      const { member, expect } = side;
      process.kill(cloud.pid, 'SIGSTOP');
      try {
        member.start();
        await expect.poll(() => member.out, WITHIN).toContain('Cannot enrol');
      } finally {
        process.kill(cloud.pid, 'SIGCONT');
      }
      await reporting(side);
      expect(member.out.match(/Cannot enrol/g)).toHaveLength(1);
    },
  );
});
