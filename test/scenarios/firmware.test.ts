import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DemoProcess, type Started } from '../harness/demo-process.ts';
import { processesWith } from '../harness/processes.ts';

const WITHIN = { timeout: 120_000, interval: 200 };
const RECIPES = join(import.meta.dirname, '../../firmware-bundles/kiosk-app');

interface Ran {
  readonly running: { readonly version: string } | null;
}

/** What an operator does with firmware, with the commands that `npm start` shows. */
describe('a kiosk that runs', () => {
  let demo: DemoProcess;
  let started: Started;
  let folder: string;
  let kiosk = '';

  const ran = async (): Promise<unknown[]> =>
    (await demo.items<Ran>(`/devices/${kiosk}/firmware/history`)).map(({ running }) => running?.version);

  /** Builds, signs and publishes a version of the application for the kiosk, and waits for what becomes of it. */
  async function release(version: string, counter: number): Promise<{ code: unknown; output: string }> {
    const [bundle, targets] = [join(folder, `${counter}.bundle`), join(folder, `${counter}.targets.json`)];
    const built = await demo.paddock('bundle', 'build', join(RECIPES, version), '--out', bundle);
    expect(built).toMatchObject({ code: 0 });
    const home = join(demo.dataDir, 'demo/firmware');
    const keys = (await readdir(join(home, 'keys'))).filter((name) => name.startsWith('targets-'));
    const by = [
      '--passphrase-file',
      join(home, 'passphrase'),
      '--key',
      ...keys.map((name) => join(home, 'keys', name)),
    ];
    const signed = await demo.paddock('release', 'sign', bundle, '--out', targets, ...by);
    expect(signed).toMatchObject({ code: 0 });
    return demo.paddock('release', 'publish', targets, bundle, '--assign', kiosk, '--wait');
  }

  beforeAll(async () => {
    demo = await DemoProcess.prepare();
    folder = await mkdtemp(join(tmpdir(), 'paddock-releases-'));
  });
  afterAll(async () => {
    started.child.kill('SIGTERM');
    await started.ended;
    demo.kill();
    await vi.waitFor(async () => expect(await processesWith(demo.dataDir)).toEqual([]), WITHIN);
    await demo.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('gets its first release, signed by keys that were made for it', async () => {
    started = demo.start();
    await expect.poll(started.output, WITHIN).toContain('--assign demo-cp22-');
    kiosk = /--assign (demo-cp22-\w{8})/.exec(started.output())?.[1] ?? '';
    await expect.poll(ran, WITHIN).toEqual(['1.0.0']);
  });

  it('updates itself to a release that was built, signed and published, and its signed report proves it', async () => {
    const published = await release('1.1.0', 2);
    expect(published.output).toMatch(/state +completed/);
    expect(published).toMatchObject({ code: 0 });
    expect(await ran()).toEqual(['1.1.0', '1.0.0']);
  });

  it('goes back from a release that fails its health check, and says why', async () => {
    const published = await release('1.2.0', 3);
    expect(published.output).toContain(
      'failed (update_probe_failed)  ended with 1: kiosk-app: prices: its file cannot',
    );
    expect(published).toMatchObject({ code: 1 });
    expect(await ran()).toEqual(['1.1.0', '1.0.0']);
    const { output } = await demo.paddock('devices', 'firmware', kiosk);
    expect(output).toMatch(/runs +kiosk-app 1[.]1[.]0/);
  });

  it('stops with everything that its launcher started', async () => {
    started.child.kill('SIGINT');
    expect(await started.ended).toEqual([0, null]);
    expect(await processesWith(demo.dataDir)).toEqual([]);
  });
});
