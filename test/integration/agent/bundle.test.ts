import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { seal } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestBroker } from '../../harness/agent/broker.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import type { Received } from '../../harness/agent/fake-cloud.ts';
import { KioskProcess } from '../../harness/agent/kiosk-process.ts';
import { LauncherProcess } from '../../harness/agent/launcher-process.ts';
import { serveRepository } from '../../harness/agent/repository-server.ts';
import { faultsOf, releaseOf, type TestRelease } from '../../harness/agent/slots.ts';
import { UpdateRepository } from '../../harness/agent/update-device.ts';
import { ROLES } from '../../harness/tuf/simulator.ts';

/** A release whose program says that it ran, and goes on. */
const running = (counter: number): TestRelease =>
  releaseOf(
    counter,
    { 'bin/kiosk': `#!/bin/sh\necho ${counter} >>"$PADDOCK_APP_DIR/ran"\nexec sleep 1000\n`, data: `of ${counter}` },
    { health: { withinSeconds: 60, settleSeconds: 1, sensors: false } },
  );
const FIRST = running(1);
const SECOND = running(2);

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

it('fetches a release, stages it in its thread and switches to it under the bundled launcher, and on to the next', async () => {
  const repository = new UpdateRepository();
  for (const role of ROLES) repository.roles[role].expires = '2099-01-01T00:00:00Z';
  repository.publishRoot();
  repository.publishRelease(FIRST);
  repository.publishRelease(SECOND, [FIRST]);
  const server = await serveRepository(repository);
  const launcher = new LauncherProcess(join(AGENT, 'dist/paddock-launcher.cjs'));
  try {
    const root = join(launcher.root, 'root.json');
    await writeFile(root, repository.file('metadata/1.root.json'));
    const firmware = `firmware: { slots: ${launcher.root}, root: ${root}, model: demo-cp22 }`;
    kiosk = await KioskProcess.prepare(LAUNCHER, 'kiosk-bundle', broker, [firmware]);
    launcher.start();
    await kiosk.start();
    for (const [at, { release }] of [FIRST, SECOND].entries()) {
      await desire(kiosk, at + 1, { ...release, repository: server.base });
      const runs = ({ report: { firmware: of } }: Received): boolean =>
        of?.committed === true && of.running?.sha256 === release.sha256;
      await expect.poll(() => kiosk?.received.some(runs), { timeout: 100_000, message: launcher.log }).toBe(true);
    }
    expect(launcher.ran).toEqual(['1', '2']);
    expect(faultsOf(launcher.calls, 'b', SECOND.release.sha256, [SECOND])).toEqual([]);
    await kiosk.stop();
    expect(await launcher.stop()).toBe(0);
  } finally {
    server.close();
    await launcher.remove();
  }
});

/** Has the cloud say what shall run. */
async function desire({ cloud, received }: KioskProcess, version: number, firmware: object): Promise<void> {
  const { device = '', incarnation = '' } = received.at(-1)?.report ?? {};
  const at = cloud.now();
  const times = { issuedAt: toInstant(at), expiresAt: toInstant(wallMs(at + 3_600_000)) };
  const desired = { v: 1, device, incarnation, epoch: 0, version, ...times, state: { firmware } };
  const payload = await seal('desired', desired, cloud.key.signing);
  const topic = topicOf('desired', device);
  broker.aedes.publish({ cmd: 'publish', qos: 1, dup: false, retain: true, topic, payload }, () => {});
}

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

it('loads a plug-in driver from its own place, in a thread of its own', async () => {
  const home = await mkdtemp(join(tmpdir(), 'paddock-bundle-'));
  const driver = `export const contract = 1; export const parse = () => ({});
    export const open = (settings, port) => { port.sample('one', 5); return { close() {} }; };`;
  await writeFile(join(home, 'driver.mjs'), driver);
  const ports = { plugged: { kind: 'driver', driver: 'driver.mjs' } };
  const sensors = { one: { kind: 'number', source: { port: 'plugged', channel: 'x' } } };
  const config = { device: 'kiosk-bundle', cloud: { url: 'mqtt://127.0.0.1:1' }, ports, sensors };
  await writeFile(join(home, 'agent.yaml'), JSON.stringify(config));
  const args = ['state', '--json', '--seconds', '3', '--config', join(home, 'agent.yaml')];
  const { stdout } = await run(process.execPath, [LAUNCHER, ...args]);
  expect(JSON.parse(stdout)).toMatchObject({ report: { readings: { one: { value: 5 } } } });
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
