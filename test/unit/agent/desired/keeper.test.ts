import { DESIRED_FILE } from '@paddock/agent/desired/file.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { DesiredBench } from '../../../harness/agent/desired.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let disk: MemoryDisk;
let bench: DesiredBench;
beforeEach(async () => {
  disk = new MemoryDisk();
  bench = await DesiredBench.start(undefined, disk);
});

describe('what a device takes up', () => {
  it('is on the disk before it is applied, and is applied again at each start', async () => {
    const seen: boolean[] = [];
    bench.handlers = {
      x: {
        apply: async () => {
          seen.push(disk.files.has(DESIRED_FILE));
          return null;
        },
      },
    };
    await bench.begin();
    await bench.answer(1);
    await bench.send(1);
    expect(seen).toEqual([true]);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 1 });
    expect(bench.changes).toBe(1);
    // Long after it has expired.
    await bench.clock.advance(90 * 86_400_000);
    await bench.begin();
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 1 });
    expect(seen).toEqual([true, true]);
  });

  it('is whole: a key that is gone falls back, one that nobody knows is named', async () => {
    await bench.answer(2);
    await bench.send(2, { state: { x: 'on', y: 1, z: null } });
    expect(bench.keeper.reported()).toEqual({
      epoch: 0,
      version: 2,
      errors: { y: { code: 'desired_key_unknown' }, z: { code: 'desired_key_unknown' } },
    });
    await bench.send(3, { state: {} });
    expect(bench.applied).toEqual(['on', null]);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 3 });
  });

  it('is reported with what could not be applied of it', async () => {
    bench.handlers = {
      x: { apply: async () => Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' })) },
      y: { apply: async (value) => (value === undefined ? null : { code: 'y_wrong', detail: 'no' }) },
    };
    await bench.begin();
    await bench.answer(1);
    await bench.send(1, { state: { x: 1, y: 2 } });
    expect(bench.keeper.reported()?.errors).toEqual({
      x: { code: 'desired_apply_failed', detail: 'broken (EIO)' },
      y: { code: 'y_wrong', detail: 'no' },
    });
  });

  it('makes no report that nobody takes, whatever a key says of what it was told', async () => {
    const detail = `\0\uD800${'x'.repeat(400)}`;
    bench.handlers = { x: { apply: async () => ({ code: 'x_wrong', detail }) } };
    await bench.begin();
    await bench.answer(1);
    await bench.send(1);
    const { errors } = bench.keeper.reported() ?? {};
    expect(errors?.['x']?.detail).toBe(`\u{FFFD}\u{FFFD}${'x'.repeat(254)}`);
  });

  it('is taken up once, however often it comes', async () => {
    await bench.answer(1);
    const envelope = await bench.seal(1);
    for (let n = 0; n < 3; n += 1) await bench.deliver(envelope);
    expect(bench.applied).toEqual([1]);
    expect(bench.changes).toBe(1);
    expect(bench.codes.filter((code) => code !== 'desired_applied')).toEqual([]);
  });

  it('says nothing when what was retained is taken away', async () => {
    await bench.answer(1);
    await bench.send(1);
    await bench.deliver('');
    expect(bench.held()).toEqual({ epoch: 0, version: 1 });
  });
});

describe('what a device refuses', () => {
  const other = makeTestKey();
  beforeEach(async () => {
    await bench.answer(5);
    await bench.send(5);
  });

  test.each<[code: string, forge: () => Promise<string>]>([
    ['device_mismatch', () => bench.seal(6, { device: 'kiosk-0002' })],
    ['desired_incarnation', () => bench.seal(6, { incarnation: 'bbbbbbbbbbb' })],
    ['desired_version_old', () => bench.seal(4)],
    ['desired_expired', () => bench.seal(6, { expiresAt: toInstant(wallMs(bench.clock.truth() - 1)) })],
    // Perhaps not, but not for certain.
    ['desired_expired', () => bench.seal(6, { expiresAt: toInstant(bench.clock.truth()) })],
    ['version_unsupported', () => bench.seal(6, { v: 2 })],
    ['payload_invalid', () => bench.seal(6, { state: { 'No such': 1 } })],
    ['typ_mismatch', () => seal('answer', { v: 1 }, bench.key.signing)],
    ['envelope_malformed', async () => 'nothing'],
    ['signature_invalid', async () => (await bench.seal(6)).replace(/\.[^.]{6}/, '.AAAAAA')],
    ['signature_invalid', async () => (await bench.seal(6)).replace(/[^.]{6}$/, 'AAAAAA')],
    [
      'alg_refused',
      async () => `${Buffer.from('{"alg":"none","typ":"paddock-desired"}').toString('base64url')}.e30.AA`,
    ],
    [
      'signature_invalid',
      async () =>
        bench.seal(6, {}, { ...(await other), signing: { ...(await other).signing, keyId: bench.key.signing.keyId } }),
    ],
  ])('changes nothing: %s', async (code, forge) => {
    await bench.deliver(await forge());
    expect(bench.codes.at(-1)).toBe(code);
    expect(bench.held()).toEqual({ epoch: 0, version: 5 });
    expect(bench.applied).toEqual([5]);
  });

  it('is of an epoch that is over, and not of the one that the list of keys names', async () => {
    bench.epoch = 3;
    await bench.send(9, { epoch: 2 });
    expect(bench.codes.at(-1)).toBe('desired_epoch_old');
    await bench.send(1, { epoch: 3 });
    expect(bench.held()).toEqual({ epoch: 3, version: 1 });
  });

  it('is told with its code once a minute, and counted', async () => {
    for (let n = 0; n < 50; n += 1) await bench.send(4);
    expect(bench.codes.filter((code) => code === 'desired_version_old')).toHaveLength(1);
  });

  it('is not read when too much comes at once', async () => {
    const envelope = await bench.seal(6);
    await Promise.all(Array.from({ length: 30 }, () => bench.deliver(envelope)));
    expect(bench.codes).toContain('desired_flood');
    expect(bench.held()).toEqual({ epoch: 0, version: 6 });
  });

  it('is what a stranger sends, who keeps nothing from coming in', async () => {
    const stranger = await other;
    await bench.send(7, {}, stranger);
    expect(bench.codes.at(-1)).toBe('desired_waits_for_keys');
    await bench.send(6);
    expect(bench.held()).toEqual({ epoch: 0, version: 6 });
    await bench.clock.advance(3_600_000);
    // The list of keys is fetched for it once.
    expect(bench.listBehind).toEqual([null]);
  });
});

describe('what a device waits for', () => {
  it('is the first answer, when there is no floor: what is older than the answer says is not taken', async () => {
    const [old, newest] = [await bench.seal(3), await bench.seal(4)];
    await bench.deliver(old);
    expect(bench.codes).toEqual(['desired_waits_for_answer']);
    await bench.answer(4);
    expect(bench.held()).toBe(null);
    expect(bench.codes.at(-1)).toBe('desired_version_old');
    await bench.deliver(newest);
    expect(bench.held()).toEqual({ epoch: 0, version: 4 });
  });

  it('is trusted time', async () => {
    bench.hasTime = false;
    await bench.answer(1);
    await bench.send(1);
    expect(bench.codes).toEqual(['desired_waits_for_time']);
    bench.hasTime = true;
    await bench.answer(1);
    expect(bench.held()).toEqual({ epoch: 0, version: 1 });
  });

  it('is the list of keys of its epoch, which is fetched at once', async () => {
    await bench.answer(1, 7);
    await bench.send(1, { epoch: 7 });
    expect(bench.codes.at(-1)).toBe('desired_waits_for_keys');
    expect(bench.listBehind).toEqual([7]);
    // What is older and comes meanwhile does not take its place.
    await bench.send(9, { epoch: 6 });
    bench.epoch = 7;
    await bench.answer(1, 7);
    expect(bench.held()).toEqual({ epoch: 7, version: 1 });
  });

  it('is the list of keys that names its key', async () => {
    const next = await makeTestKey();
    await bench.answer(1);
    await bench.send(1, {}, next);
    expect(bench.held()).toBe(null);
    bench.keys = [next];
    await bench.clock.advance(5_000);
    await bench.answer(1);
    expect(bench.held()).toEqual({ epoch: 0, version: 1 });
  });

  it('is a disk that takes the floor: until then nothing is applied', async () => {
    await bench.answer(1);
    disk.failNext(1);
    await bench.send(1);
    expect(bench.codes.at(-1)).toBe('desired_unkept');
    expect(bench.applied).toEqual([]);
    expect(bench.held()).toBe(null);
    await bench.answer(1);
    expect(bench.applied).toEqual([1]);
  });
});

describe('a version that answers name and that does not come', () => {
  it('is told after a while, once', async () => {
    await bench.answer(2);
    await bench.clock.advance(60_000);
    expect(bench.codes).toEqual([]);
    await bench.answer(2);
    await bench.clock.advance(60_000);
    expect(bench.codes).toEqual(['desired_withheld']);
    await bench.answer(2);
    await bench.clock.advance(600_000);
    expect(bench.codes).toEqual(['desired_withheld']);
  });

  it('is reported, until it or a newer one has come', async () => {
    await bench.answer(2);
    expect(bench.keeper.reported()).toBe(null);
    await bench.clock.advance(120_000);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 0, withheld: { epoch: 0, version: 2 } });
    expect(bench.changes).toBe(1);
    await bench.send(3);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 3 });
    await bench.answer(5);
    await bench.clock.advance(120_000);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 3, withheld: { epoch: 0, version: 5 } });
    await bench.send(4);
    expect(bench.keeper.reported()).toMatchObject({ version: 4, withheld: { version: 5 } });
    await bench.send(5);
    expect(bench.keeper.reported()).toEqual({ epoch: 0, version: 5 });
  });

  it('is not told when it comes in time, or when there is none', async () => {
    await bench.answer(0);
    await bench.answer(2);
    await bench.send(2);
    await bench.clock.advance(600_000);
    expect(bench.codes).toEqual(['desired_applied']);
  });
});

describe('the file of what was taken up', () => {
  beforeEach(async () => {
    await bench.answer(5);
    await bench.send(5);
  });

  test.each<[what: string, spoil: (bytes: Uint8Array) => Uint8Array | null]>([
    ['is gone', () => null],
    ['is empty', () => new Uint8Array()],
    ['is torn', (bytes) => bytes.slice(0, bytes.length / 2)],
    ['is zeros', (bytes) => new Uint8Array(bytes.length)],
    ['was changed', (bytes) => Buffer.from(Buffer.from(bytes).toString().replace('"version":5', '"version":4'))],
  ])('that %s costs what was set until it comes again, and leads nobody back', async (_, spoil) => {
    const spoiled = spoil(disk.files.get(DESIRED_FILE) ?? new Uint8Array());
    if (spoiled === null) disk.files.delete(DESIRED_FILE);
    else disk.files.set(DESIRED_FILE, spoiled);
    await bench.begin();
    expect(bench.keeper.reported()).toBe(null);
    expect(bench.codes.includes('desired_damaged')).toBe(spoiled !== null);
    await bench.send(4);
    await bench.answer(5);
    expect(bench.keeper.reported()).toBe(null);
    await bench.send(5);
    expect(bench.held()).toEqual({ epoch: 0, version: 5 });
  });

  it('is not one of another life', async () => {
    bench.incarnation = 'ccccccccccc';
    await bench.begin();
    expect(bench.keeper.reported()).toBe(null);
    await bench.answer(5);
    await bench.send(5);
    expect(bench.held()).toEqual({ epoch: 0, version: 5 });
  });
});
