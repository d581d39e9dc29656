import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { LineDevice } from '../../harness/agent/line-device.ts';
import { MemberProcess, paddockOn } from '../../harness/agent/member-process.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { freePort } from '../../harness/free-port.ts';
import { openPty, type Pty } from '../../harness/pty.ts';

const WITHIN = { timeout: 60_000, interval: 50 };
const AWAY_SECONDS = 8;
const LAMP = `send: "LIGHT {value}\\r\\n", words: { true: on, false: off }, answer: "OK {value}", ask: "LIGHT?\\r\\n", told: '^LIGHT=(?<value>on|off)$', checkMs: 500`;
const configuration = ({ path }: Pty): string => `
ports: { panel: { kind: serial-lines, path: ${path}, patterns: ['^DOOR=(?<door>open|closed)$'], silentAfterMs: 0 } }
sensors: { door: { kind: binary, source: { port: panel, field: door, on: open } } }
outputs: { light: { kind: binary, safe: false, whenAway: revert, awaySeconds: ${AWAY_SECONDS}, target: { port: panel, ${LAMP} } } }
`;

let cloud: CloudProcess;
let member: MemberProcess;
let pty: Pty;
afterEach(async () => {
  await member.remove();
  await cloud.stop();
  pty.master.close();
});

const device = (): string => member.device ?? '';
const shown = async (): Promise<Record<string, unknown>> => (await cloud.call('GET', `/devices/${device()}`)).body;
const outputs = async (): Promise<unknown> => (await shown())['outputs'];
const desired = async (): Promise<unknown> => (await shown())['desired'];
const set = (output: string, value: unknown) =>
  cloud.call('PUT', `/devices/${device()}/desired/outputs/${output}`, { value });

it(
  'an operator moves an output, its report proves it, and it is safe when the cloud is away',
  { timeout: 240_000 },
  async () => {
    const port = { PADDOCK_MQTT_TLS_PORT: String(await freePort()) };
    cloud = await startCloudProcess(port);
    pty = openPty();
    const hardware = new LineDevice(pty.master);
    const kit = join(cloud.dataDir, 'kit.json');
    await paddockOn(cloud, 'factory-keys', 'add', 'works', '--count', '1', '--kit', kit);
    const claim = await paddockOn(cloud, 'claims', 'make', 'OUT-0001', '--kit', kit);
    member = await MemberProcess.prepare(claim, configuration(pty));
    member.start();
    await expect
      .poll(async () => member.device !== null && outputs(), WITHIN)
      .toEqual({
        light: { state: 'own', actual: false },
      });

    expect(await paddockOn(cloud, 'desired', 'set', device(), 'outputs.light=on')).toContain('version 1');
    await expect.poll(outputs, WITHIN).toEqual({ light: { state: 'applied', desired: true, actual: true } });
    expect(hardware.light).toBe('on');
    expect((await shown())['readings']).toMatchObject({ 'output.light': { value: true } });
    await expect.poll(desired, WITHIN).toMatchObject({ converged: true });
    expect(await paddockOn(cloud, 'devices', 'show', device())).toMatch(/\nlight +true +true +applied/);

    // What the device does not have, and what its output does not take, spoils nothing.
    await set('siren', true);
    await set('light', 3);
    await expect.poll(outputs, WITHIN).toMatchObject({
      light: { state: 'failed', desired: 3, actual: false, error: { code: 'output_value_invalid' } },
      siren: { state: 'failed', error: { code: 'output_unknown' } },
    });
    await expect.poll(desired, WITHIN).toMatchObject({
      converged: false,
      reported: { errors: { outputs: { code: 'outputs_failed' } } },
    });
    await paddockOn(cloud, 'desired', 'unset', device(), 'outputs.siren');
    await set('light', true);
    await expect.poll(desired, WITHIN).toMatchObject({ converged: true });
    const { body } = await cloud.call('GET', `/devices/${device()}/changes?sensor=output.light`);
    // Newest first. On a busy machine an answer may come too late, and it was safe for a moment besides.
    const values = (body['items'] as { value: unknown }[]).map(({ value }) => value);
    expect([values.at(0), values.includes(false), values.at(-1)]).toEqual([true, true, true]);

    process.kill(cloud.pid, 'SIGTERM');
    await cloud.ended;
    await expect.poll(() => hardware.light, WITHIN).toBe('off');
    expect(member.log).toContain('output_away');
    // A start knows of no cloud either.
    await member.stop();
    hardware.heard.length = 0;
    member.start();
    await expect.poll(() => hardware.heard, WITHIN).toContain('LIGHT off');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(hardware.heard).not.toContain('LIGHT on');
    cloud = await startCloudProcess(port, undefined, cloud.dataDir);
    await expect.poll(() => hardware.light, WITHIN).toBe('on');
    await expect.poll(outputs, WITHIN).toMatchObject({ light: { state: 'applied' } });

    await member.stop();
    expect(hardware.light).toBe('off');
  },
);
