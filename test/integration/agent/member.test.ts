import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
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
let member: MemberProcess;
beforeAll(async () => {
  cloud = await startCloudProcess();
  const kit = join(cloud.dataDir, 'kit.json');
  await paddockOn(cloud, 'factory-keys', 'add', 'works', '--count', '9', '--kit', kit);
  const serials = ['MB-0001', 'MB-0002', 'MB-0003', 'MB-0004', 'MB-0005', 'MB-0006', 'MB-0007'];
  claims = (await paddockOn(cloud, 'claims', 'make', ...serials, '--kit', kit)).split('\n');
}, TEST_MS);
afterAll(() => cloud.stop());
afterEach(() => member.remove());

const prepare = async (): Promise<MemberProcess> => (member = await MemberProcess.prepare(claims.shift() ?? ''));

async function itemsOf<T>(path: string): Promise<T[]> {
  return (await cloud.call('GET', `/devices/${member.device}/${path}`)).body.items as T[];
}
const reports = (): Promise<Report[]> => itemsOf<Report>('reports');
const certificates = (): Promise<{ revokedAt: string | null }[]> => itemsOf('certificates');
const goodKeys = async (): Promise<string[]> =>
  (await itemsOf<{ thumbprint: string; revokedAt: string | null }>('keys'))
    .filter(({ revokedAt }) => revokedAt === null)
    .map(({ thumbprint }) => thumbprint);

/** Reports of this moment are recorded. */
async function reporting(): Promise<void> {
  await expect.poll(() => member.device, WITHIN).not.toBeNull();
  const before = (await reports())[0];
  await expect.poll(async () => (await reports())[0], WITHIN).not.toEqual(before);
}

/** As a script of an operator does, who has compared the fingerprint: it comes back as that device. */
async function approve(fingerprint: string, device: string | null): Promise<void> {
  const { etag } = JSON.parse(await paddockOn(cloud, 'pending', 'show', '--json', '--', fingerprint)) as {
    etag: string;
  };
  await paddockOn(cloud, 'pending', 'approve', '--seen', etag, '--device', device ?? '', '--', fingerprint);
}

async function revokeCertificates(): Promise<void> {
  await cloud.call('POST', `/devices/${member.device}/certificates/revoke`, { reason: 'a test' });
}

describe('an agent whose wall clock is dead', () => {
  it.each([
    ['1970', Date.UTC(1970, 0, 2)],
    ['2035', Date.UTC(2035, 0, 1)],
  ])(
    'enrols, reports over mutual TLS, renews and starts again in %s, and the archive knows when that was',
    async (_year, wall) => {
      await prepare();
      member.start(wall - Date.now());
      await reporting();
      await revokeCertificates();
      await expect.poll(async () => (await certificates()).length, WITHIN).toBe(2);
      await reporting();
      await member.stop();
      member.start(wall - Date.now());
      await expect.poll(async () => (await reports())[0]?.start, WITHIN).toBe(2);
      await reporting();
      const [newest] = await reports();
      expect(Math.abs((newest?.payload.wallMs ?? 0) - wall)).toBeLessThan(86_400_000);
      const [earliest, latest] = [Date.parse(newest?.time.earliest ?? ''), Date.parse(newest?.time.latest ?? '')];
      expect(latest - earliest).toBeLessThan(10_000);
      expect(Math.abs(Date.now() - latest)).toBeLessThan(60_000);
    },
    TEST_MS,
  );
});

describe('an agent and its cloud', () => {
  it(
    'changes its key while it runs: every report is recorded, the old key is revoked, and it goes on',
    async () => {
      await prepare();
      member.start();
      await reporting();
      const before = await goodKeys();
      await member.command('rotate-key');
      await expect.poll(() => member.out, WITHIN).toContain('The identity key is changed.');
      const after = await goodKeys();
      expect(after).toHaveLength(1);
      expect(after).not.toEqual(before);
      await reporting();
      await member.stop();
      member.start();
      await expect.poll(async () => (await reports())[0]?.start, WITHIN).toBe(2);
      const state = (await cloud.call('GET', `/devices/${member.device}/rejections`)).body.items as { code: string }[];
      expect(state.map(({ code }) => code).filter((code) => code !== 'key_unknown')).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'comes back by approval when it was reflashed: its claim is used, its id and its history stay',
    async () => {
      await prepare();
      member.start();
      await reporting();
      const { device } = member;
      await member.stop();
      await rm(join(member.home, 'state'), { recursive: true });
      member.out = '';
      member.start();
      await expect.poll(() => member.out, WITHIN).toContain('Waiting for an operator');
      const [, fingerprint = ''] = /fingerprint: (\S+)/.exec(member.out) ?? [];
      await approve(fingerprint, device);
      await expect.poll(() => member.device, WITHIN).toBe(device);
      await reporting();
      expect((await itemsOf<unknown>('starts')).length).toBe(2);
    },
    TEST_MS,
  );

  it(
    'gets a new key and an approval when its key was revoked',
    async () => {
      await prepare();
      member.start();
      await reporting();
      const { device } = member;
      const [key = ''] = await goodKeys();
      await cloud.call('POST', `/devices/${device}/keys/${key}/revoke`, { reason: 'a test' });
      await expect.poll(() => member.out, WITHIN).toContain('rotate-key --discard');
      await member.stop();
      const { fingerprint } = await member.command('rotate-key', '--discard');
      member.out = '';
      member.start();
      await expect.poll(() => member.out, WITHIN).toContain(`Its fingerprint: ${String(fingerprint)}`);
      await approve(String(fingerprint), device);
      await expect.poll(() => member.device, WITHIN).toBe(device);
      await reporting();
    },
    TEST_MS,
  );

  it(
    'ends with its own code when it is retired, and at every start after that',
    async () => {
      await prepare();
      member.start();
      await reporting();
      await cloud.call('POST', `/devices/${member.device}/retire`);
      expect(await member.ended).toBe(3);
      expect(member.out).toContain('The cloud has retired this device for good');
      member.log = '';
      member.start();
      expect(await member.ended).toBe(3);
      expect(member.log).toContain('"reason":"command","basedOn":"clean-end","detail":"retired"');
    },
    TEST_MS,
  );
});

describe('an agent whose cloud is away at its first boot', () => {
  it(
    'says so once, asks again with growing pauses, and is let in when it is there',
    async () => {
      await prepare();
      process.kill(cloud.pid, 'SIGSTOP');
      try {
        member.start();
        await expect.poll(() => member.out, WITHIN).toContain('Cannot enrol');
      } finally {
        process.kill(cloud.pid, 'SIGCONT');
      }
      await reporting();
      expect(member.out.match(/Cannot enrol/g)).toHaveLength(1);
    },
    TEST_MS,
  );
});
