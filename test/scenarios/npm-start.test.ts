import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { agent, startAgent } from '../harness/agent/cli.ts';
import { freePort } from '../harness/free-port.ts';
import { processesWith } from '../harness/processes.ts';

const PROGRAM = join(import.meta.dirname, '../../demo/src/main.ts');
const PADDOCK = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const WITHIN = { timeout: 60_000, interval: 100 };

interface Device {
  readonly deviceId: string;
  readonly lastReport: { readonly start: number } | null;
  readonly readings: Readonly<Record<string, { readonly value: unknown; readonly unit?: string }>>;
}

interface Started {
  readonly child: ChildProcess;
  output(): string;
  /** Exit code and signal. */
  readonly ended: Promise<unknown[]>;
}

/** How many clients on this machine are connected to that port: the kernel's table (proc(5)). */
async function connectionsTo(port: number): Promise<number> {
  const there = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  return rows.filter(([, , remote = '', state]) => remote.endsWith(there) && state === ESTABLISHED).length;
}
const ESTABLISHED = '01';

/** What a newcomer does: start it, look, stop it, start it again. */
describe('npm start', () => {
  let dataDir: string;
  let ports: { http: number; mqtt: number; enrol: number; mqttTls: number };
  const started: ChildProcess[] = [];

  function start(...args: string[]): Started {
    const settings = {
      PADDOCK_HTTP_PORT: String(ports.http),
      PADDOCK_MQTT_PORT: String(ports.mqtt),
      PADDOCK_ENROL_PORT: String(ports.enrol),
      PADDOCK_MQTT_TLS_PORT: String(ports.mqttTls),
    };
    const env = { ...process.env, ...settings, PADDOCK_DATA_DIR: dataDir };
    const child = spawn(process.execPath, [PROGRAM, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => void (output += chunk.toString()));
    return { child, output: () => output, ended: once(child, 'exit') };
  }

  async function items<Item>(path: string): Promise<readonly Item[]> {
    const token = (await readFile(join(dataDir, 'operator.token'), 'utf8')).trim();
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`http://127.0.0.1:${ports.http}/api/v1${path}`, { headers });
    return ((await answer.json()) as { items: Item[] }).items;
  }
  // Not up yet: none.
  const devices = (): Promise<readonly Device[]> => items<Device>('/devices').catch(() => []);
  const certificatesOf = (deviceId: string): Promise<readonly object[]> => items(`/devices/${deviceId}/certificates`);
  const kiosk = async () => (await devices()).find(({ deviceId }) => deviceId.startsWith('demo-cp22-'));
  const reportedStart = async () => (await kiosk())?.lastReport?.start;

  /** A kiosk of one's own, registered by hand, with the commands of the README. @returns its agent */
  async function ownKiosk(): Promise<ChildProcess> {
    const home = join(dataDir, 'own');
    const config = join(home, 'agent.yaml');
    const url = `mqtt://127.0.0.1:${ports.mqtt}`;
    await mkdir(home);
    const made = await agent(home, 'init', '--device', 'kiosk-0417', '--config', config, '--url', url, '--json');
    const { publicKey } = JSON.parse(made.out) as { publicKey: object };
    const args = ['devices', 'register', 'kiosk-0417', '--public-key', JSON.stringify(publicKey)];
    const env = { ...process.env, PADDOCK_HTTP_PORT: String(ports.http), PADDOCK_DATA_DIR: dataDir };
    const registering = spawn(process.execPath, [PADDOCK, ...args, '--cloud-keys-out', join(home, 'cloud-keys.json')], {
      env,
    });
    expect(await once(registering, 'exit')).toEqual([0, null]);
    const { child } = startAgent(home, 'run', '--config', config);
    started.push(child);
    return child;
  }

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'paddock-start-'));
    ports = { http: await freePort(), mqtt: await freePort(), enrol: await freePort(), mqttTls: await freePort() };
  });
  afterAll(async () => {
    for (const child of started) child.kill('SIGKILL');
    await vi.waitFor(async () => expect(await processesWith(dataDir)).toEqual([]), WITHIN);
    await rm(dataDir, { recursive: true, force: true });
  });

  it('shows a kiosk with a verified report in time, whose readings follow the hardware', async () => {
    const { child, output, ended } = start();
    await expect.poll(reportedStart, WITHIN).toBe(1);
    const first = await kiosk();
    expect(first?.readings).toMatchObject({ voltage: { unit: 'V' }, connector: {}, energy: { unit: 'kWh' } });
    const voltage = async () => (await kiosk())?.readings['voltage']?.value;
    await expect.poll(voltage, WITHIN).not.toBe(first?.readings['voltage']?.value);
    expect(output()).toContain(`http://127.0.0.1:${ports.http}/api/v1/devices`);
    expect(output()).toMatch(/demo-cp22-\w{8} {2}boot/);
    expect(output()).toMatch(/mqtts:.*by mutual TLS/);

    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(await processesWith(dataDir)).toEqual([]);
  });

  it('goes on with the same data at its second start, with a fleet beside the kiosk', async () => {
    const { child, output, ended } = start('--devices', '5', '--every', '2');
    await expect.poll(reportedStart, WITHIN).toBe(2);
    const heard = async () => (await devices()).filter(({ lastReport }) => lastReport !== null).length;
    await expect.poll(heard, WITHIN).toBe(6);
    expect(output()).toMatch(/^Enrolled 5 devices by claims in \d+[.]\d s$/m);
    // Each by a certificate of its own, and nobody beside TLS.
    for (const { deviceId } of await devices()) expect(await certificatesOf(deviceId)).not.toEqual([]);
    expect([await connectionsTo(ports.mqttTls), await connectionsTo(ports.mqtt)]).toEqual([6, 0]);
    const own = await ownKiosk();
    await expect.poll(heard, WITHIN).toBe(7);
    own.kill('SIGTERM');
    await once(own, 'exit');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('leaves nothing behind when it is killed', async () => {
    const { child, ended } = start();
    await expect.poll(reportedStart, WITHIN).toBe(3);
    child.kill('SIGKILL');
    await ended;
    await expect.poll(() => processesWith(dataDir), WITHIN).toEqual([]);
  });

  it('says which variable to change when a port is taken', async () => {
    const server = createServer().listen(ports.mqtt, '127.0.0.1');
    await once(server, 'listening');
    const { output, ended } = start();
    expect(await ended).toEqual([1, null]);
    server.close();
    expect(output()).toContain(`Port ${ports.mqtt} is taken. Choose another one, such as: PADDOCK_MQTT_PORT=`);
  });

  it('explains itself, and refuses wrong use', async () => {
    const help = start('--help');
    expect(await help.ended).toEqual([0, null]);
    expect(help.output()).toContain('--devices');
    const wrong = start('--devices', 'many');
    expect(await wrong.ended).toEqual([2, null]);
    expect(wrong.output()).toContain('whole number');
  });
});
