import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { agent, startAgent } from '../harness/agent/cli.ts';
import { DemoProcess } from '../harness/demo-process.ts';
import { processesWith } from '../harness/processes.ts';
import { connectionsTo } from '../harness/tcp-table.ts';

const WITHIN = { timeout: 60_000, interval: 100 };

interface Device {
  readonly deviceId: string;
  readonly lastReport: { readonly start: number } | null;
  readonly readings: Readonly<Record<string, { readonly value: unknown; readonly unit?: string }>>;
}

/** What a newcomer does: start it, look, stop it, start it again. */
describe('npm start', () => {
  let demo: DemoProcess;
  const own: ChildProcess[] = [];

  // Not up yet: none.
  const devices = (): Promise<readonly Device[]> => demo.items<Device>('/devices').catch(() => []);
  const certificatesOf = (deviceId: string): Promise<readonly object[]> =>
    demo.items(`/devices/${deviceId}/certificates`);
  const kiosk = async () => (await devices()).find(({ deviceId }) => deviceId.startsWith('demo-cp22-'));
  const reportedStart = async () => (await kiosk())?.lastReport?.start;

  /** A kiosk of one's own, registered by hand, with the commands of the README. @returns its agent */
  async function ownKiosk(): Promise<ChildProcess> {
    const home = join(demo.dataDir, 'own');
    const config = join(home, 'agent.yaml');
    const url = `mqtt://127.0.0.1:${demo.ports.mqtt}`;
    await mkdir(home);
    const made = await agent(home, 'init', '--device', 'kiosk-0417', '--config', config, '--url', url, '--json');
    const { publicKey } = JSON.parse(made.out) as { publicKey: object };
    const args = ['devices', 'register', 'kiosk-0417', '--public-key', JSON.stringify(publicKey)];
    expect(await demo.paddock(...args, '--cloud-keys-out', join(home, 'cloud-keys.json'))).toMatchObject({ code: 0 });
    const { child } = startAgent(home, 'run', '--config', config);
    own.push(child);
    return child;
  }

  beforeAll(async () => {
    demo = await DemoProcess.prepare();
  });
  // What a test leaves running that failed would fail all others.
  afterEach(async () => {
    demo.kill();
    for (const child of own.splice(0)) child.kill('SIGKILL');
    await vi.waitFor(async () => expect(await processesWith(demo.dataDir)).toEqual([]), WITHIN);
  });
  afterAll(() => demo.remove());

  it('shows a kiosk with a verified report in time, whose readings follow the hardware', async () => {
    const { child, output, ended } = demo.start();
    await expect.poll(reportedStart, WITHIN).toBe(1);
    const first = await kiosk();
    expect(first?.readings).toMatchObject({ voltage: { unit: 'V' }, connector: {}, energy: { unit: 'kWh' } });
    const voltage = async () => (await kiosk())?.readings['voltage']?.value;
    await expect.poll(voltage, WITHIN).not.toBe(first?.readings['voltage']?.value);
    expect(output()).toContain(`http://127.0.0.1:${demo.ports.http}/api/v1/devices`);
    const reports = await demo.items(`/devices/${first?.deviceId}/reports`);
    expect(reports).toContainEqual(expect.objectContaining({ start: 1, sequence: 0, trigger: 'boot' }));
    // Of what arrives together, the newest is shown.
    expect(output()).toMatch(/demo-cp22-\w{8} {2}(boot|change of|schedule).* voltage [\d.]+ V/);
    expect(output()).toMatch(/mqtts:.*by mutual TLS/);
    const lamp = await demo.paddock('desired', 'set', first?.deviceId ?? '', 'outputs.light=on');
    expect(lamp).toMatchObject({ code: 0 });
    await expect.poll(async () => (await kiosk())?.readings['output.light']?.value, WITHIN).toBe(true);

    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(await processesWith(demo.dataDir)).toEqual([]);
  });

  it('goes on with the same data at its second start, with a fleet beside the kiosk', async () => {
    const { child, output, ended } = demo.start('--devices', '5', '--every', '2');
    await expect.poll(reportedStart, WITHIN).toBe(2);
    const heard = async () => (await devices()).filter(({ lastReport }) => lastReport !== null).length;
    await expect.poll(heard, WITHIN).toBe(6);
    expect(output()).toMatch(/^Enrolled 5 devices by claims in \d+[.]\d s$/m);
    // Each by a certificate of its own, and nobody beside TLS.
    for (const { deviceId } of await devices()) expect(await certificatesOf(deviceId)).not.toEqual([]);
    expect([await connectionsTo(demo.ports.mqttTls), await connectionsTo(demo.ports.mqtt)]).toEqual([6, 0]);
    const agentOfOwn = await ownKiosk();
    await expect.poll(heard, WITHIN).toBe(7);
    agentOfOwn.kill('SIGTERM');
    await once(agentOfOwn, 'exit');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('leaves nothing behind when it is killed', async () => {
    const { child, ended } = demo.start();
    await expect.poll(reportedStart, WITHIN).toBe(3);
    child.kill('SIGKILL');
    await ended;
    await expect.poll(() => processesWith(demo.dataDir), WITHIN).toEqual([]);
  });

  it('says which variable to change when a port is taken', async () => {
    const server = createServer().listen(demo.ports.mqtt, '127.0.0.1');
    await once(server, 'listening');
    const { output, ended } = demo.start();
    expect(await ended).toEqual([1, null]);
    server.close();
    expect(output()).toContain(`Port ${demo.ports.mqtt} is taken. Choose another one, such as: PADDOCK_MQTT_PORT=`);
  });

  it('explains itself, and refuses wrong use', async () => {
    const help = demo.start('--help');
    expect(await help.ended).toEqual([0, null]);
    expect(help.output()).toContain('--devices');
    const wrong = demo.start('--devices', 'many');
    expect(await wrong.ended).toEqual([2, null]);
    expect(wrong.output()).toContain('whole number');
  });
});
