import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Standing } from '@paddock/agent/enrol/membership.ts';
import type { RawClient } from '../../../harness/raw-client.ts';
import { Member } from '../../../harness/agent/member.ts';
import { startCloudProcess, type CloudProcess } from '../../../harness/cloud-process.ts';
import { makeAuthority, makeCertificate, type TestCertificate } from '../../../harness/certificates.ts';

const PROGRAM = join(import.meta.dirname, '../../../../cloud/bin/paddock.cjs');
const WITHIN = { timeout: 30_000, interval: 100 };

let cloud: CloudProcess;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'paddock-roll-over-'));
});
afterAll(() => rm(folder, { recursive: true }));

const paddock = async (...args: string[]): Promise<string> => {
  const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  return (await promisify(execFile)(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
};

interface View {
  readonly id: string;
  readonly state: string;
  readonly devices: number;
  readonly behind: number | null;
}
const authorities = async (): Promise<View[]> => JSON.parse(await paddock('ca', 'list', '--json')) as View[];
const newestList = async (): Promise<string[]> => {
  const [newest] = JSON.parse(await paddock('root', 'show', '--json')) as { authorities: string[] }[];
  return newest?.authorities ?? [];
};

/** Who issued the certificate that a server shows to whoever comes. */
async function issuerAt(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  socket.on('error', () => undefined);
  const shown = await new Promise<X509Certificate | undefined>((resolve) =>
    socket.once('secureConnect', () => resolve(socket.getPeerX509Certificate())),
  );
  socket.destroy();
  return shown?.issuer ?? '';
}

const issuerOf = ({ certificates }: Standing): string => new X509Certificate(certificates).issuer;

async function claims(...serials: string[]): Promise<string[]> {
  const kit = join(folder, 'kit.json');
  await paddock('factory-keys', 'add', `works-${serials.length}`, '--count', '9', '--kit', kit);
  const made = await paddock('claims', 'make', ...serials, '--kit', kit);
  await rm(kit);
  return made.split('\n');
}

describe('from one authority to the next', () => {
  let device: Member;
  let sleeper: Member;
  let lateClaim: string;
  let before: Standing;
  let standing: RawClient | null;
  let old: View;
  let next: View;
  /** What the device knows now, with the certificate of before and its key. */
  const asBefore = (): Standing => ({ ...device.standing, certificates: before.certificates, tlsKey: before.tlsKey });

  beforeAll(async () => {
    cloud = await startCloudProcess();
    const [one = '', two = '', late = ''] = await claims('RO-0001', 'RO-0002', 'RO-0003');
    lateClaim = late;
    [device, sleeper] = [await Member.open(one), await Member.open(two)];
    before = await device.ask();
    await sleeper.ask();
    standing = await device.connect();
    expect(standing).not.toBeNull();
  });
  afterAll(() => cloud.stop());

  test('the next one is listed beside the old one, by itself, and nothing else changes', async () => {
    await paddock('ca', 'new');
    await expect.poll(authorities, WITHIN).toHaveLength(2);
    await expect.poll(newestList, WITHIN).toHaveLength(2);
    [old, next] = (await authorities()) as [View, View];
    expect(old).toMatchObject({ state: 'issues', devices: 2, behind: 0 });
    expect(next).toMatchObject({ state: 'accepted', devices: 0, behind: 2 });
    expect(await issuerAt(cloud.enrolUrl)).toBe(issuerOf(before));
    expect(issuerOf(await device.ask())).toBe(issuerOf(before));
    expect((await authorities())[1]).toMatchObject({ behind: 1 });
    expect(device.standing.authorities).toHaveLength(2);
  });

  test('it is chosen, once devices know it: servers and devices get theirs from it, the old ones are still good', async () => {
    await expect(paddock('ca', 'use', '00000000')).rejects.toMatchObject({
      stderr: expect.stringContaining('authority_unknown'),
    });
    await paddock('ca', 'use', next.id);
    await expect.poll(() => issuerAt(cloud.enrolUrl), WITHIN).not.toBe(issuerOf(before));
    await expect.poll(() => issuerAt(before.mqttUrl ?? ''), WITHIN).not.toBe(issuerOf(before));
    // The old certificate, and a device that knows both authorities.
    const during = await device.connect(asBefore());
    expect(during).not.toBeNull();
    standing?.end();
    standing = during;
    expect(issuerOf(await device.ask())).not.toBe(issuerOf(before));
    expect(await authorities()).toMatchObject([
      { id: old.id, state: 'accepted', devices: 1 },
      { id: next.id, state: 'issues', devices: 1, behind: 1 },
    ]);
  });

  test('the old one is withdrawn: its certificates are refused, and its live connections closed', async () => {
    await expect(paddock('root', 'sign', '--without-ca', next.id)).rejects.toMatchObject({
      stderr: expect.stringContaining('authority_in_use'),
    });
    await paddock('root', 'sign', '--without-ca', old.id);
    await standing?.closed;
    const fresh = await device.connect();
    expect(fresh).not.toBeNull();
    expect(await device.connect(asBefore())).toBeNull();
    fresh?.end();
    expect(await authorities()).toMatchObject([{ state: 'withdrawn' }, { state: 'issues' }]);
  });

  test('a device that slept through all of it comes back by itself, and so does one with a claim of before', async () => {
    await expect(sleeper.dial()).rejects.toMatchObject({ code: 'certificate_untrusted' });
    await sleeper.ask();
    const back = await sleeper.connect();
    expect(back).not.toBeNull();
    back?.end();
    const late = await Member.open(lateClaim);
    await late.ask();
    const come = await late.connect();
    expect(come).not.toBeNull();
    come?.end();
  });
});

test('an authority that has ended, long withdrawn or not, stops no start: the one beside it issues', async () => {
  const place = await mkdtemp(join(tmpdir(), 'paddock-ended-'));
  const ended = await makeAuthority({ notBefore: Date.now() - 2 * 86_400_000, notAfter: Date.now() - 86_400_000 });
  const good = await makeAuthority({ name: 'Next' });
  for (const [name, { pem, keyPem }] of [['ca', ended] as const, ['ca-2', good] as const]) {
    await writeFile(join(place, `${name}.key.pem`), keyPem, { mode: 0o600 });
    await writeFile(join(place, `${name}.cert.pem`), pem, { mode: 0o600 });
  }
  cloud = await startCloudProcess({}, undefined, place);
  try {
    const [claim = ''] = await claims('END-0001');
    expect(issuerOf(await (await Member.open(claim)).ask())).toBe('CN=Next');
    const ready = (await (await fetch(`${cloud.httpUrl}/readyz`)).json()) as { parts: object };
    expect(ready.parts).toMatchObject({
      authority: { ready: true, detail: expect.stringMatching(/^issues until \S+Z$/) },
    });
  } finally {
    await cloud.stop();
  }
});

describe('a server certificate from outside', () => {
  let outside: TestCertificate;
  const file = (name: string): string => join(folder, name);
  const serialAt = async (url: string): Promise<string> => {
    const { hostname: host, port } = new URL(url);
    const socket: TLSSocket = connect({ host, port: Number(port), ca: outside.pem });
    const serial = await new Promise<string>((resolve, reject) => {
      socket.once('secureConnect', () => resolve(socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? ''));
      socket.once('error', reject);
    });
    socket.destroy();
    return serial;
  };
  async function put(): Promise<string> {
    const own = await makeCertificate({ issuer: outside });
    await writeFile(file('server.key'), own.keyPem, { mode: 0o600 });
    await writeFile(file('server.pem'), own.pem);
    return own.certificate.serialNumber;
  }
  const settings = (): Record<string, string> => ({
    PADDOCK_SERVER_CERT: file('server.pem'),
    PADDOCK_SERVER_KEY: file('server.key'),
    PADDOCK_SERVER_CA: file('outside.pem'),
  });

  test('is believed by devices, whose list names its authority, and read anew when it changes', async () => {
    outside = await makeAuthority({ name: 'Outside' });
    await writeFile(file('outside.pem'), outside.pem);
    const first = await put();
    cloud = await startCloudProcess(settings());
    try {
      expect(await serialAt(cloud.enrolUrl)).toBe(first);
      const [claim = ''] = await claims('OUT-0001');
      const device = await Member.open(claim);
      const standing = await device.ask();
      expect(await serialAt(standing.mqttUrl ?? '')).toBe(first);
      const connected = await device.connect();
      expect(connected).not.toBeNull();
      const second = await put();
      await expect.poll(() => serialAt(cloud.enrolUrl), WITHIN).toBe(second);
      await expect.poll(() => serialAt(standing.mqttUrl ?? ''), WITHIN).toBe(second);
      const { body } = await cloud.call('GET', '/authorities');
      expect(body['items']).toMatchObject([{ state: 'issues' }, { state: 'foreign', subject: 'CN=Outside' }]);
      connected?.end();
    } finally {
      await cloud.stop();
    }
  });

  test('stops the start when no list will ever name who issued it', async () => {
    await put();
    await expect(startCloudProcess({ ...settings(), PADDOCK_SERVER_CA: '' })).rejects.toThrow(
      'server_certificate_untrusted',
    );
  });
});
