import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { beginUpdating, type Updating, type UpdatingParts } from '@paddock/agent/updating.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../harness/agent/memory-disk.ts';
import { serveRepository } from '../../harness/agent/repository-server.ts';
import { releaseOf } from '../../harness/agent/slots.ts';
import { UpdateRepository } from '../../harness/agent/update-device.ts';
import { ROLES } from '../../harness/tuf/simulator.ts';

const RELEASE = releaseOf(1, { 'bin/kiosk': 'one' });
const WITHIN = { timeout: 30_000 };
const clock = createSystemClock();

const repository = new UpdateRepository();
for (const role of ROLES) repository.roles[role].expires = '2099-01-01T00:00:00Z';
repository.publishRoot();
repository.publishRelease(RELEASE);

let home: string;
let root: string;
let server: Awaited<ReturnType<typeof serveRepository>>;
let told: string[];
let updating: Updating | null = null;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-updating-'));
  root = join(home, 'root.json');
  told = [];
  await writeFile(root, repository.file('metadata/1.root.json'));
  server = await serveRepository(repository);
});
afterEach(async () => {
  await updating?.stop();
  updating = null;
  server.close();
  await rm(home, { recursive: true, force: true });
});

async function begin(firmware: { readonly root: string; readonly model?: string }): Promise<Updating> {
  const hear = (fields: object): void => void ('code' in fields && told.push(String(fields.code)));
  const now = { earliest: wallMs(Date.now()), latest: wallMs(Date.now() + 1_000) };
  const parts: UpdatingParts = {
    clock,
    disk: new MemoryDisk(),
    log: { debug: hear, info: hear, warn: hear, error: hear },
    time: { at: () => now },
    bootId: 'boot-1',
    pin: null,
    standing: () => null,
    expectsEnd: () => {},
    readings: () => ({}),
  };
  updating = await beginUpdating({ slots: join(home, 'slots'), ...firmware }, parts);
  return updating;
}

const desire = (to: Updating, more: object = { repository: server.base }): Promise<unknown> =>
  to.handler.apply({ ...RELEASE.release, ...more });
const error = (): string | undefined => updating?.reported().error?.code;

describe('updates on this machine', () => {
  it('begin with the root metadata of a file, stage in the directory that is named, and end when they are told to', async () => {
    const begun = await begin({ root, model: 'demo-cp22' });
    await desire(begun);
    // No launcher answers, so what is armed stays so.
    await expect.poll(() => begun.reported().state, WITHIN).toBe('armed');
    expect(await readdir(join(home, 'slots/a'))).toEqual(expect.arrayContaining(['bin', '.paddock']));
    await begun.stop();
    expect(begun.reported()).toMatchObject({ running: null, committed: false });
  });

  it('go on without root metadata that cannot be read, and say so', async () => {
    const begun = await begin({ root: join(home, 'missing.json'), model: 'demo-cp22' });
    expect(told).toContain('ENOENT');
    await desire(begun);
    await expect.poll(error, WITHIN).toBe('tuf_root_missing');
  });

  it('install nothing while nobody says which model this is, or where the repository is', async () => {
    const begun = await begin({ root });
    await desire(begun);
    await expect.poll(error, WITHIN).toBe('update_model_unknown');
    await desire(begun, {});
    await expect.poll(error, WITHIN).toBe('update_repository_unknown');
  });
});
