import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLOUD_BROKERS, startCloud } from '../../harness/cloud-on-mosquitto.ts';
import type { CloudProcess } from '../../harness/cloud-process.ts';

const SCRIPT = join(import.meta.dirname, 'enrol.sh');
const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');

/** A device made of openssl and curl, and an operator at a terminal. */
describe.each(CLOUD_BROKERS)('a shell script that enrols beside %s', (broker) => {
  let cloud: CloudProcess;
  let folder: string;
  let claims: { ca: string };

  const inFolder = (name: string): string => join(folder, name);
  const run = promisify(execFile);
  const paddock = async (...args: string[]): Promise<string> => {
    const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
    return (await run(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
  };
  const enrol = async (...args: string[]): Promise<string[]> => {
    const env = { ...process.env, CLOUD_KEYS: inFolder('cloud-keys.json') };
    return (await run(SCRIPT, args, { env })).stdout.trim().split('\n');
  };

  beforeAll(async () => {
    cloud = await startCloud(broker);
    folder = await mkdtemp(join(tmpdir(), 'paddock-shell-enrol-'));
    await writeFile(inFolder('cloud-keys.json'), JSON.stringify((await cloud.call('GET', '/cloud-keys')).body));
    await paddock('factory-keys', 'add', 'works', '--count', '2', '--kit', inFolder('kit.json'));
    claims = JSON.parse(await readFile(inFolder('kit.json'), 'utf8')) as { ca: string };
  });
  afterAll(async () => {
    await cloud?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  it('is let in by its claim, once, and gets its next certificate without it', async () => {
    await writeFile(inFolder('claim'), await paddock('claims', 'make', 'SH-0001', '--kit', inFolder('kit.json')));
    expect((await enrol(inFolder('one'), inFolder('claim'))).at(-1)).toBe('accepted');
    const device = (await readFile(join(inFolder('one'), 'device'), 'utf8')).trim();
    expect((await cloud.call('GET', `/devices/${device}`)).body).toMatchObject({ serialNumber: 'SH-0001' });
    expect((await enrol(inFolder('one'), '-', cloud.enrolUrl, claims.ca, 'SH-0001')).at(-1)).toBe('accepted');
    await expect(enrol(inFolder('thief'), inFolder('claim'))).rejects.toMatchObject({
      stderr: expect.stringContaining('claim_used'),
    });
  });

  it('waits for an operator, who compares its fingerprint', async () => {
    const stranger = () => enrol(inFolder('two'), '-', cloud.enrolUrl, claims.ca, 'SH-0002');
    const [shown = '', status] = await stranger();
    expect(status).toBe('pending');
    const fingerprint = shown.replace('fingerprint ', '');
    expect(await paddock('pending', 'list')).toContain(fingerprint);
    expect(await paddock('pending', 'show', fingerprint.slice(0, 12))).toContain('of openssl');
    expect(await paddock('pending', 'approve', fingerprint.slice(0, 12), '--name', 'By hand')).toContain('kiosk-');
    expect((await stranger()).at(-1)).toBe('accepted');
  });

  it('gives nothing to another authority', async () => {
    await expect(enrol(inFolder('three'), '-', cloud.enrolUrl, 'A'.repeat(43), 'SH-0003')).rejects.toMatchObject({
      stderr: expect.stringContaining('another authority'),
    });
  });

  it('that is on the factory’s list comes in by it; every bad line is told', async () => {
    const [shown = ''] = await enrol(inFolder('four'), '-', cloud.enrolUrl, claims.ca, 'SH-0004');
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
    expect((await enrol(inFolder('four'), '-', cloud.enrolUrl, claims.ca, 'SH-0004')).at(-1)).toBe('accepted');
    expect(await paddock('factory-list', 'list')).toContain('kiosk-');
  });
});
