import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { agent, newHome } from '../harness/agent/cli.ts';
import { pinCloudKeys } from '../harness/agent/card-kiosk.ts';
import { startPlugged, type Deed, type PluggedAgent } from '../harness/agent/plugged.ts';
import { startCloudProcess, type CloudProcess } from '../harness/cloud-process.ts';

const PADDOCK = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const DEVICE = 'kiosk-silent';
const [BOOT, OTHER_BOOT] = ['c9a646d3-9c61-4cb7-bfcd-ee2522c8f633', '5b1f3c7e-9d24-4a86-b0c1-2e8f7a6d5c43'];
const WITHIN_MS = 60_000;
let cloud: CloudProcess;
let home: string;
let kiosk: PluggedAgent | null = null;

beforeEach(async () => {
  cloud = await startCloudProcess();
  home = newHome();
  const { out } = await agent(home, 'init', '--device', DEVICE, '--url', cloud.mqttUrl, '--json');
  const { publicKey } = JSON.parse(out) as { publicKey: object };
  const { body } = await cloud.call('POST', '/devices', { deviceId: DEVICE, publicKey });
  await pinCloudKeys(home, body['cloudKeys'] as Parameters<typeof pinCloudKeys>[1]);
  await writeFile(join(home, 'agent.yaml'), `device: ${DEVICE}\ncloud: { url: '${cloud.mqttUrl}' }\n`);
});
afterEach(async () => {
  await kiosk?.end('kill');
  await cloud.stop();
  await rm(home, { recursive: true, force: true });
});

type Item = Record<string, unknown>;

async function items(path: string): Promise<Item[]> {
  const { body } = await cloud.call('GET', `/devices/${DEVICE}/${path}`);
  return body['items'] as Item[];
}

/** Waits for what must come. */
async function awaited<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const began = performance.now(); performance.now() - began < WITHIN_MS; await sleep(100)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`${what} did not come`);
}

/** Lets a start live until its first report, and its crash report where it has one, are recorded; then ends it. */
async function life(start: number, bootId: string, ended: Deed | null): Promise<Item> {
  kiosk = startPlugged(home, bootId);
  const began = await awaited(`start ${start}`, async () => {
    const found = (await items('starts')).find((one) => one['start'] === start);
    return (found?.['began'] as Item | null | undefined) ?? undefined;
  });
  const { crashId } = began;
  if (crashId !== null)
    await awaited(`the crash report of start ${start}`, async () =>
      (await items('crashes')).find((crash) => crash['crashId'] === crashId),
    );
  if (ended !== null) await kiosk.end(ended);
  return began;
}

it('a kiosk that was silent says why, however it ended', async () => {
  expect(await life(1, BOOT, 'kill')).toMatchObject({
    agent: { reason: 'unknown', basedOn: ['first-start'] },
    machine: null,
    crashId: null,
  });
  expect(await life(2, BOOT, 'error')).toMatchObject({ agent: { reason: 'agent_crash', basedOn: ['no-clean-end'] } });
  const uncaught = await life(3, BOOT, 'heap');
  expect(uncaught).toMatchObject({
    agent: { reason: 'agent_crash', basedOn: ['uncaught-error'], detail: 'TypeError' },
    machine: null,
    ended: { basis: expect.stringMatching(/^(exchanged|extrapolated)$/) as unknown },
  });
  expect(await life(4, BOOT, 'stop')).toMatchObject({ agent: { reason: 'out_of_memory', basedOn: ['node-report'] } });
  expect(await life(5, BOOT, 'kill')).toMatchObject({
    agent: { reason: 'clean', basedOn: ['clean-end'] },
    crashId: null,
  });
  const power = { reason: 'power', basedOn: ['no-clean-end', 'new-boot'], detail: null };
  const cut = await life(6, OTHER_BOOT, null);
  expect(cut).toMatchObject({ agent: power, machine: power });

  const crashes = await items('crashes');
  expect(crashes.map(({ start, reason }) => `${String(start)} ${String(reason)}`)).toEqual([
    '6 power',
    '4 out_of_memory',
    '3 agent_crash',
    '2 agent_crash',
  ]);
  const { body: whole } = await cloud.call('GET', `/devices/${DEVICE}/crashes/${String(uncaught['crashId'])}`);
  expect(whole).toMatchObject({
    reason: 'agent_crash',
    content: {
      error: {
        name: 'TypeError',
        message: 'planted: password=[redacted]',
        stack: expect.stringContaining('plug.mjs') as unknown,
      },
      breadcrumbs: expect.arrayContaining([expect.objectContaining({ what: 'Connected' })]) as unknown,
    },
  });
  expect(JSON.stringify(whole)).not.toContain('hunter2');
  // What the cloud has, the kiosk keeps no longer.
  const kept = JSON.parse(readFileSync(join(home, 'state/crashes.json'), 'utf8').replace(/^\S+ /, '')) as {
    waiting: { crash: { id: string } }[];
  };
  expect(kept.waiting.map(({ crash }) => crash.id)).toEqual([cut['crashId']]);

  const proofFile = join(home, 'proof.json');
  const { body: proof } = await cloud.call('GET', `/devices/${DEVICE}/crashes/${String(cut['crashId'])}/proof`);
  await writeFile(proofFile, JSON.stringify(proof));
  expect(await said('verify', proofFile)).toContain('verified');
  expect(await said('devices', 'starts', DEVICE)).toMatch(/^6 .* power \(no-clean-end, new-boot\) +power/m);
  expect(await said('devices', 'crashes', DEVICE)).toMatch(/ agent_crash +ran on +TypeError/);
  expect(await said('devices', 'crashes', DEVICE, String(uncaught['crashId']))).toMatch(/^ +at .*plug\.mjs/m);
  expect(await said('devices', 'show', DEVICE)).toMatch(/^began +after power .*; the machine was booted: power/m);
});

/** What `paddock` prints. */
async function said(...args: string[]): Promise<string> {
  const at = ['--url', cloud.httpUrl, '--data-dir', cloud.dataDir];
  const { stdout } = await promisify(execFile)(process.execPath, [PADDOCK, ...at, ...args]);
  return stdout;
}
