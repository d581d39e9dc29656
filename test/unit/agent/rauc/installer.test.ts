import { createRaucInstaller, type Downloads } from '@paddock/agent/rauc/installer.ts';
import type { ObjectStore } from '@paddock/agent/ports-firmware.ts';
import { parseIndex } from '@paddock/shared/bundle-index.ts';
import { raucBundleIn } from '@paddock/shared/rauc-payload.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRaucMachine } from '../../../harness/agent/fake-rauc.ts';
import { releaseOf } from '../../../harness/agent/slots.ts';

const ONE = releaseOf(1, { 'one.raucb': 'the bundle of release one' });
const BUNDLE = raucBundleIn(parseIndex(ONE.index)).sha256;
const signal = new AbortController().signal;

const objects: ObjectStore = {
  list: async () => new Map(),
  put: async () => {},
  partBytes: async () => 0,
  appendPart: async () => {},
  async *readPart() {},
  putStream: async () => {},
  dropPart: async () => {},
  keepOnly: async () => {},
};

let machine: FakeRaucMachine;
beforeEach(() => {
  machine = new FakeRaucMachine();
});

function installer(change: Partial<Downloads> = {}) {
  const downloads: Downloads = {
    objects,
    hashOf: async (sha256) => sha256,
    pathOf: (sha256) => `/bundles/objects/${sha256}`,
    freeBytes: async () => 1_000_000,
    ...change,
  };
  return createRaucInstaller(machine.boot(), downloads);
}

describe('RAUC as an installer', () => {
  it('is handed the file that was downloaded, and tells how much of it is written', async () => {
    const told: number[] = [];
    await installer().stage(ONE, signal, (bytes) => told.push(bytes));
    expect(machine.slots.b.content).toBe(`/bundles/objects/${BUNDLE}`);
    expect(told).toEqual([Math.floor('the bundle of release one'.length / 2)]);
  });

  it.each([
    ['is gone', null],
    ['is not what it was', 'f'.repeat(64)],
  ])('is handed nothing when the file %s', async (_what, found) => {
    const staged = installer({ hashOf: async () => found }).stage(ONE, signal);
    await expect(staged).rejects.toMatchObject({ code: 'install_object_missing' });
    expect(machine.slots.b).toMatchObject({ content: '', isBad: false });
  });

  it('is handed nothing of a release that is more than one bundle', async () => {
    const more = releaseOf(1, { 'one.raucb': 'a bundle', other: 'file' });
    await expect(installer().stage(more, signal)).rejects.toMatchObject({ code: 'manifest_payload' });
    expect(machine.slots.b).toMatchObject({ content: '', isBad: false });
  });

  it('gives nothing to make a release from', async () => {
    const one = installer();
    await one.stage(ONE, signal);
    await one.activate(ONE.release.sha256, { starts: 3, withinMs: 600_000 });
    const booted = installer();
    expect(await booted.content()).toBeNull();
    expect(await booted.read('b', 'one.raucb', 1_000)).toBeNull();
    expect(Buffer.from((await booted.manifest()) ?? [])).toEqual(ONE.manifest);
  });
});
