import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAnswer } from '@paddock/shared/answer.ts';
import type { Enrolled } from '@paddock/shared/enrolment.ts';
import { parseEnvelope } from '@paddock/shared/envelope.ts';
import { FakeEnrolment } from '../../harness/agent/fake-enrolment.ts';
import { CLOUD_BROKERS, startCloud } from '../../harness/cloud-on-mosquitto.ts';
import type { CloudProcess } from '../../harness/cloud-process.ts';
import { makeTestKey } from '../../harness/signing.ts';

const script = (name: string): string => join(import.meta.dirname, name);
const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');
const run = promisify(execFile);
/** Each run starts a hundred processes. */
const PATIENT = { timeout: 180_000 };

let folder: string;
/** Each suite has a corner of its own in it. */
let corner = '';
const inFolder = (...names: string[]): string => join(folder, corner, ...names);
const enrol = async (...args: string[]): Promise<string[]> =>
  (await run(script('enrol.sh'), args)).stdout.trim().split('\n');
const refused = (stderr: string) => ({ code: 1, stderr: expect.stringContaining(stderr) as string });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'paddock-shell-enrol-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A device made of openssl, curl and Mosquitto's clients, and an operator at a terminal. */
describe.each(CLOUD_BROKERS)('a shell script that enrols beside %s', PATIENT, (broker) => {
  let cloud: CloudProcess;
  let claims: { ca: string };

  const paddock = async (...args: string[]): Promise<string> => {
    const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
    return (await run(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
  };
  const byHand = (name: string, serial: string, ca = claims.ca): Promise<string[]> =>
    enrol(inFolder(name), '-', cloud.enrolUrl, ca, inFolder('root.json'), serial);
  const device = async (name: string): Promise<string> => (await readFile(inFolder(name, 'device'), 'utf8')).trim();

  /** Reports by its certificate, and believes the answer by the list. */
  async function reports(name: string): Promise<void> {
    expect((await readFile(inFolder(name, 'mqtt-url'), 'utf8')).trim()).toMatch(/^mqtts:\/\/localhost:\d+$/);
    const { stdout } = await run(script('device.sh'), ['report', inFolder(name)]);
    const deviceId = await device(name);
    expect(parseAnswer(JSON.parse(stdout))).toMatchObject({ device: deviceId, recorded: [[0, 1]], rejected: [] });
    const { body } = await cloud.call('GET', `/devices/${deviceId}`);
    expect(body).toMatchObject({ lastReport: { sequence: 1 }, readings: { door: { value: true } } });
  }

  beforeAll(async () => {
    corner = broker.replaceAll(' ', '-');
    await mkdir(inFolder());
    cloud = await startCloud(broker);
    await paddock('factory-keys', 'add', 'works', '--count', '2', '--kit', inFolder('kit.json'));
    const kit = JSON.parse(await readFile(inFolder('kit.json'), 'utf8')) as { ca: string; root: object };
    claims = kit;
    await writeFile(inFolder('root.json'), JSON.stringify(kit.root));
  }, PATIENT.timeout);
  afterAll(() => cloud?.stop());

  it('is let in by its claim, once, reports over mutual TLS, and gets its next certificate without the claim', async () => {
    await writeFile(inFolder('claim'), await paddock('claims', 'make', 'SH-0001', '--kit', inFolder('kit.json')));
    expect((await enrol(inFolder('one'), inFolder('claim'))).at(-1)).toBe('accepted');
    expect((await cloud.call('GET', `/devices/${await device('one')}`)).body).toMatchObject({
      serialNumber: 'SH-0001',
    });
    await reports('one');
    const serial = async () => new X509Certificate(await readFile(inFolder('one', 'cert.pem'))).serialNumber;
    const before = await serial();
    expect((await byHand('one', 'SH-0001')).at(-1)).toBe('accepted');
    expect(await serial()).not.toBe(before);
    await reports('one');
    await expect(enrol(inFolder('thief'), inFolder('claim'))).rejects.toMatchObject(refused('claim_used'));
  });

  it('waits for an operator, who compares its fingerprint, and reports over mutual TLS', async () => {
    const [shown = '', status] = await byHand('two', 'SH-0002');
    expect(status).toBe('pending');
    const fingerprint = shown.replace('fingerprint ', '');
    expect(await paddock('pending', 'list')).toContain(fingerprint);
    expect(await paddock('pending', 'show', fingerprint.slice(0, 12))).toContain('of openssl');
    const { etag } = JSON.parse(await paddock('pending', 'show', fingerprint, '--json')) as { etag: string };
    expect(
      await paddock('pending', 'approve', fingerprint.slice(0, 12), '--seen', etag, '--name', 'By hand'),
    ).toContain('kiosk-');
    expect((await byHand('two', 'SH-0002')).at(-1)).toBe('accepted');
    await reports('two');
  });

  it('is not heard with the certificate of another device', async () => {
    await run('cp', ['-r', inFolder('two'), inFolder('mixed')]);
    for (const file of ['cert.pem', 'tls.pem']) await run('cp', [inFolder('one', file), inFolder('mixed', file)]);
    await expect(run(script('device.sh'), ['report', inFolder('mixed')])).rejects.toThrow();
    // Mosquitto takes the certificate's name for the client id, and keeps to itself what it refuses.
    if (broker === 'Mosquitto with mutual TLS') return;
    // The connection ends first, its entry is written then.
    await vi.waitFor(async () => {
      const { body } = await cloud.call('GET', '/audit?action=connect');
      expect(body['items']).toContainEqual(expect.objectContaining({ code: 'client_id_mismatch' }));
    }, PATIENT);
  });

  it('gives nothing to another authority', async () => {
    await expect(byHand('three', 'SH-0003', 'A'.repeat(43))).rejects.toMatchObject(refused('another authority'));
  });

  it('that is on the factory’s list comes in by it; every bad line is told', async () => {
    const [shown = ''] = await byHand('four', 'SH-0004');
    const csv = `\u{feff}serialNumber,fingerprint,name\r\nSH-0004,${shown.replace('fingerprint ', '')},"Listed, by name"\r\nx,y,z\r\n`;
    await writeFile(inFolder('made.csv'), csv);
    const imported = await paddock('factory-list', 'import', inFolder('made.csv'), '--json').catch(
      (error: { stdout: string }) => error.stdout,
    );
    expect(JSON.parse(imported)).toMatchObject({
      records: 2,
      added: 1,
      badLines: [{ line: 3, code: 'serial_number_invalid' }],
    });
    expect((await byHand('four', 'SH-0004')).at(-1)).toBe('accepted');
    expect(await paddock('factory-list', 'list')).toContain('kiosk-');
  });
});

/** What a cloud may send that is not to be believed. */
describe('a shell script that enrols at a cloud that lies', PATIENT, () => {
  let cloud: FakeEnrolment;
  let state: string;
  let count = 0;

  const byClaim = async (): Promise<string | undefined> => {
    await writeFile(inFolder('claim'), cloud.claim());
    return (await enrol(state, inFolder('claim'))).at(-1);
  };

  beforeEach(async () => {
    cloud = await FakeEnrolment.start();
    state = inFolder(`fake-${(count += 1)}`);
  });
  afterEach(() => cloud.stop());

  it.each<[what: string, change: Partial<Enrolled>, said: string]>([
    ['to another request', { nonce: 'AAAAAAAAAAAAAAAAAAAAAA' }, 'an answer to another request'],
    ['to a request that was changed', { digest: 'A'.repeat(43) }, 'another digest'],
    ['that has expired', { expiresAt: '2020-01-01T00:00:00.000Z' }, 'expired'],
  ])('takes no answer %s', async (_what, change, said) => {
    cloud.decide = () => ({ status: 'accepted', ...change });
    await expect(byClaim()).rejects.toMatchObject(refused(said));
    await expect(readFile(join(state, 'cert.pem'))).rejects.toThrow('ENOENT');
    cloud.decide = () => ({ status: 'accepted' });
    expect(await byClaim()).toBe('accepted');
  });

  it('takes no answer of a key that the newest list does not name', async () => {
    cloud.answerKey = await makeTestKey();
    await expect(byClaim()).rejects.toMatchObject(refused('no key of the cloud'));
    await cloud.publish({ keys: [cloud.answerKey.publicJwk] });
    expect(await byClaim()).toBe('accepted');
    cloud.answerKey = cloud.online;
    await expect(byClaim()).rejects.toMatchObject(refused('no key of the cloud'));
  });

  it('takes no list of another root, none that was left out, and none that is older', async () => {
    const stranger = await makeTestKey();
    const first = cloud.lists[0] ?? '';
    await cloud.publish({}, stranger);
    await expect(byClaim()).rejects.toMatchObject(refused('no key of the cloud'));
    expect(cloud.requests).toEqual([]);
    cloud.lists.splice(0, 2, first);
    expect(await byClaim()).toBe('accepted');
    await cloud.publish({ version: 3 });
    await expect(byClaim()).rejects.toThrow();
    cloud.lists.pop();
    await cloud.publish();
    expect(await byClaim()).toBe('accepted');
    cloud.lists.pop();
    await expect(byClaim()).rejects.toMatchObject(refused('older list'));
  });

  it('follows the lists to another root and another authority', async () => {
    const next = await makeTestKey();
    expect(await byClaim()).toBe('accepted');
    await cloud.publish({ root: next.publicJwk });
    const authority = await cloud.changeAuthority();
    await cloud.publish(
      { root: next.publicJwk, authorities: [Buffer.from(authority.der).toString('base64url')] },
      next,
    );
    expect(await byClaim()).toBe('accepted');
    const kept = parseEnvelope(await readFile(join(state, 'list'), 'utf8'));
    expect(kept.keyId).toBe(next.signing.keyId);
  });

  it('goes on with a cloud that was restored and has given versions again', async () => {
    await cloud.publish();
    expect(await byClaim()).toBe('accepted');
    cloud.lists.pop();
    await cloud.publish({ epoch: 1 });
    expect(await byClaim()).toBe('accepted');
    cloud.lists.pop();
    await cloud.publish();
    await expect(byClaim()).rejects.toMatchObject(refused('older list'));
  });
});
