import { LOCK_FILE, LONGEST_LOCK_MS, openUpdateLock, type UpdateLock } from '@paddock/agent/update/lock.ts';
import { NO_JOURNAL, writeJournal } from '@paddock/agent/update/journal.ts';
import { UPDATE_STATES, type UpdateState } from '@paddock/shared/firmware.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { codeThrown } from '../../../harness/tuf/client.ts';

const disk = new MemoryDisk();
const clock = new FakeClock();
const open = (bootId = 'one', on = disk): UpdateLock => openUpdateLock({ clock, disk: on, bootId });

describe('the update lock', () => {
  it('is held by one owner, who may take it again and let it go', async () => {
    const lock = open();
    expect(await lock.holder()).toBeNull();
    await lock.take('payment', 'a customer pays', 60_000);
    expect(await codeThrown(lock.take('charging', 'a car charges', 60_000))).toBe('lock_held');
    expect(await codeThrown(lock.release('charging'))).toBe('lock_not_held');
    await clock.advance(50_000);
    await lock.take('payment', 'a customer still pays', 60_000);
    await clock.advance(50_000);
    expect(await lock.holder()).toMatchObject({ owner: 'payment', reason: 'a customer still pays' });
    await lock.release('payment');
    expect(await lock.holder()).toBeNull();
  });

  it('outlives the agent, and neither its time nor the boot of its owner', async () => {
    await open().take('payment', 'a customer pays', 60_000);
    expect(await open().holder()).toMatchObject({ owner: 'payment' });
    expect(await open('two').holder()).toBeNull();
    clock.setWall(0);
    expect(await open().holder()).toMatchObject({ owner: 'payment' });
    await clock.advance(60_000);
    expect(await open().holder()).toBeNull();
  });

  it.each([
    ['', 'why', 1_000],
    ['who', '', 1_000],
    ['who', 'why', 0],
    ['who', 'why', LONGEST_LOCK_MS + 1],
    ['who', 'why', Number.NaN],
    ['x'.repeat(129), 'why', 1_000],
  ])('is not to be had by %j for %j and %d ms', async (owner, reason, ms) => {
    expect(await codeThrown(open().take(owner, reason, ms))).toBe('lock_invalid');
  });

  it('is not held for longer than anybody may ask for, whatever its file says', async () => {
    const other = new MemoryDisk();
    const later = new FakeClock();
    await later.advance(1_000);
    await openUpdateLock({ clock: later, disk: other, bootId: 'one' }).take('payment', 'pays', LONGEST_LOCK_MS);
    expect(await openUpdateLock({ clock: later, disk: other, bootId: 'one' }).holder()).not.toBeNull();
    expect(await openUpdateLock({ clock: new FakeClock(), disk: other, bootId: 'one' }).holder()).toBeNull();
  });

  it("is nobody's when its file is damaged", async () => {
    const other = new MemoryDisk();
    await open('one', other).take('payment', 'a customer pays', 60_000);
    const text = Buffer.from(other.files.get(LOCK_FILE) ?? '').toString();
    other.files.set(LOCK_FILE, Buffer.from(text.replace('payment', 'Payment')));
    expect(await open('one', other).holder()).toBeNull();
  });

  it.each(Object.keys(UPDATE_STATES) as UpdateState[])('is to be had in the state %s, or not', async (state) => {
    const other = new MemoryDisk();
    await writeJournal(other, { ...NO_JOURNAL, state });
    const isRefused = ['armed', 'switched', 'trial', 'rolling-back'].includes(state);
    expect(await codeThrown(open('one', other).take('payment', 'a customer pays', 60_000))).toBe(
      isRefused ? 'lock_update_running' : null,
    );
    expect((await open('one', other).holder()) === null).toBe(isRefused);
  });

  it('is not to be had while what ran before is tried for the cloud, and is while the cloud is waited for', async () => {
    const other = new MemoryDisk();
    const release = { name: 'kiosk-app', version: '1.1.0', counter: 2, sha256: 'b'.repeat(64) };
    for (const phase of ['new', 'old', 'asking', 'kept', 'back'] as const) {
      const watch = { release, before: 'a'.repeat(64), phase, ms: 0 };
      await writeJournal(other, { ...NO_JOURNAL, state: 'committed', watch });
      const refused = await codeThrown(open('one', other).take('payment', 'a customer pays', 1_000));
      expect([phase, refused]).toEqual([phase, phase === 'new' ? null : 'lock_update_running']);
      await other.remove(LOCK_FILE);
    }
  });
});
