import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agent, newHome, startAgent, type Running } from '../harness/agent/cli.ts';
import { CLOUD_BROKERS, startCloud, startCloudOnMosquitto } from '../harness/cloud-on-mosquitto.ts';
import type { CloudProcess } from '../harness/cloud-process.ts';
import { openPty, type Pty } from '../harness/pty.ts';

const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const WITHIN = { timeout: 60_000, interval: 200 };

const CONFIGURATION = (port: string): string => `
dataDir: ./state
cloud: { claim: claim.jwt }
report: { schedule: '*/2 * * * * *', urgentMinIntervalMs: 0, jitterSeconds: 0 }
ports:
  panel: { kind: serial-lines, path: ${port}, format: json }
sensors:
  door: { kind: binary, source: { port: panel, field: door, on: open }, urgent: true }
events:
  card-swipe: { source: { port: panel, field: event, equals: card-swipe } }
`;

let cloud: CloudProcess;
let home: string;
let pty: Pty;
let running: Running | null = null;
beforeEach(() => {
  pty = openPty();
  home = newHome();
});
afterEach(async () => {
  running?.child.kill('SIGKILL');
  await running?.ended;
  running = null;
  pty.master.close();
  await cloud.stop();
  await rm(home, { recursive: true, force: true });
});

const paddock = async (...args: string[]): Promise<string> => {
  const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  return (await promisify(execFile)(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
};

/** The programs as they are started: a claim of the factory, an agent that was never configured otherwise. */
async function startKiosk(): Promise<void> {
  const kit = join(home, 'kit.json');
  await paddock('factory-keys', 'add', 'works', '--count', '1', '--kit', kit);
  await writeFile(join(home, 'agent.yaml'), CONFIGURATION(pty.path));
  await writeFile(join(home, 'claim.jwt'), await paddock('claims', 'make', 'FB-0001', '--kit', kit), { mode: 0o600 });
  const { code, out, err } = await agent(home, 'init');
  if (code !== 0) throw new Error(`${out}${err}`);
  running = startAgent(home, 'run');
}

interface Seen {
  readonly deviceId: string;
  readonly lastReport: { readonly sequence: number; readonly readings?: object } | null;
}
const kiosk = async (): Promise<Seen | undefined> =>
  ((await cloud.call('GET', '/devices')).body as { items: Seen[] }).items[0];
const sequence = async (): Promise<number> => (await kiosk())?.lastReport?.sequence ?? -1;
const events = async (): Promise<number> => {
  const { body } = await cloud.call('GET', `/devices/${(await kiosk())?.deviceId}/reports?limit=200`);
  const { items } = body as { items: { trigger: string }[] };
  return items.filter(({ trigger }) => trigger === 'event').length;
};

describe.each(CLOUD_BROKERS)('a kiosk boots for the first time beside %s', (broker) => {
  it(
    'enrols by its claim, connects with its own certificate, and what its hardware says is recorded',
    { timeout: 180_000 },
    async () => {
      cloud = await startCloud(broker);
      await startKiosk();
      await expect.poll(sequence, WITHIN).toBeGreaterThanOrEqual(0);
      await pty.master.write('{"door":"open","event":"card-swipe"}\n');
      await expect.poll(events, WITHIN).toBe(1);
      const doctor = await agent(home, 'doctor');
      expect(doctor.out).toMatch(/ok +certificate/);
    },
  );
});

it(
  'sends what happened while Mosquitto was away, and is kept out when it is retired',
  { timeout: 240_000 },
  async () => {
    const onMosquitto = await startCloudOnMosquitto();
    cloud = onMosquitto;
    const { mosquitto } = onMosquitto;
    await startKiosk();
    await expect.poll(sequence, WITHIN).toBeGreaterThanOrEqual(0);
    const ended = mosquitto.pid;
    const away = mosquitto.restart();
    await pty.master.write('{"event":"card-swipe"}\n');
    await away;
    expect(mosquitto.pid).not.toBe(ended);
    await expect.poll(events, WITHIN).toBe(1);
    const device = (await kiosk())?.deviceId ?? '';
    await paddock('devices', 'retire', device);
    await expect
      .poll(() => mosquitto.log(), WITHIN)
      .toMatch(new RegExp(`Client ${device} already connected, closing old connection[^]*certificate verify failed`));
  },
);
