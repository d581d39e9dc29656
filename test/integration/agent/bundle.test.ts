import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestBroker } from '../../harness/agent/broker.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { KioskProcess } from '../../harness/agent/kiosk-process.ts';

const AGENT = join(import.meta.dirname, '../../../agent');
const LAUNCHER = join(AGENT, 'dist/paddock-agent.cjs');
const run = promisify(execFile);

let broker: TestBroker;
let kiosk: KioskProcess | null = null;
beforeEach(async () => {
  await run(process.execPath, [join(AGENT, 'bundle.ts')]);
  broker = await TestBroker.start();
});
afterEach(async () => {
  await kiosk?.remove();
  await broker.stop();
});

it('reads lines and registers from real ports, reports them and says goodbye, as the sources do', async () => {
  kiosk = await KioskProcess.prepare(LAUNCHER, 'kiosk-bundle', broker);
  await kiosk.start();
  const { received } = kiosk;
  expect(received[0]?.report).toMatchObject({ start: 1, sequence: 0, trigger: { kind: 'boot' } });
  const wellRead = (): boolean =>
    received.some(({ report }) => Object.values(report.readings).every(({ value }) => value !== null));
  await until(wellRead, 'a report of all sensors');
  expect(Object.keys(received[0]?.report.readings ?? {})).toHaveLength(20);
  kiosk.hardware.swipe();
  await until(() => received.some(({ report }) => report.trigger.kind === 'event'), 'the swiped card');
  await kiosk.stop();
  expect(received.at(-1)?.report.trigger.kind).toBe('shutdown');
});

it('serves every command', async () => {
  const { stdout } = await run(process.execPath, [LAUNCHER, 'doctor', '--json', '--config', 'missing.yaml']).catch(
    (failed: { stdout: string }) => failed,
  );
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'config_unreadable' } });
  const files = await readdir(join(AGENT, 'dist'));
  expect(files.some((file) => file.startsWith('modbus-serial'))).toBe(true);
  // A file of its own is not read by an agent without GPIO.
  expect(files.some((file) => file.startsWith('gpio-'))).toBe(true);
  expect(JSON.parse((await run(process.execPath, [LAUNCHER, 'gpio', '--json'])).stdout)).toHaveProperty('chips');
});

it('knows when it was built', async () => {
  const SOURCE_DATE_EPOCH = '1800000000';
  await run(process.execPath, [join(AGENT, 'bundle.ts')], { env: { ...process.env, SOURCE_DATE_EPOCH } });
  const files = (await readdir(join(AGENT, 'dist'))).filter((file) => file.endsWith('.js'));
  const texts = await Promise.all(files.map((file) => readFile(join(AGENT, 'dist', file), 'utf8')));
  expect(texts.filter((text) => text.includes('2027-01-15T08:00:00.000Z'))).toHaveLength(1);
  expect(texts.filter((text) => text.includes('PADDOCK_BUILT_AT'))).toEqual([]);
});

it('finds the addon for keys on a token beside it', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'paddock-bundle-')), 'agent.yaml');
  const pkcs11 = { module: '/etc/hostname', token: 'kiosk', label: 'identity', pinFile: 'token.pin' };
  const config = { device: 'kiosk-bundle', cloud: { url: 'mqtt://127.0.0.1:1' }, key: { pkcs11 } };
  await writeFile(file, JSON.stringify(config));
  const { stdout } = await run(process.execPath, [LAUNCHER, 'init', '--json', '--config', file]).catch(
    (failed: { stdout: string }) => failed,
  );
  // With no addon it would not have come as far as the library.
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'module_invalid' } });
});
