import { NO_JOURNAL, JOURNAL_FILE, readJournal, writeJournal, type Journal } from '@paddock/agent/update/journal.ts';
import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { UPDATE_STATES, type UpdateState } from '@paddock/shared/firmware.ts';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)];
const release = { name: 'kiosk-app', version: '1.1.0', counter: 2, sha256: NEW };
const LASTING = {
  floors: { 'kiosk-app': { counter: 2, sha256: NEW } },
  quarantined: [{ sha256: OLD, code: 'update_probe_failed' }],
};
const JOURNAL: Journal = { ...NO_JOURNAL, ...LASTING, state: 'trial', target: release, goodSensors: 4 };

async function written(journal: object): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.replace(JOURNAL_FILE, await sealed(journal));
  return disk;
}

/** As any agent writes it, whatever it says. */
async function sealed(value: unknown): Promise<Uint8Array> {
  const line = JSON.stringify(value);
  const check = (await sha256Base64url(`paddock-update ${line}`)).slice(0, 22);
  return Buffer.from(`${line}\n${check}\n`);
}

describe('the journal of updates', () => {
  it('is found as it was written, in every state', async () => {
    const disk = new MemoryDisk();
    expect(await readJournal(disk)).toEqual({ journal: NO_JOURNAL, found: 'missing' });
    for (const state of Object.keys(UPDATE_STATES) as UpdateState[]) {
      await writeJournal(disk, { ...JOURNAL, state });
      expect(await readJournal(disk)).toEqual({ journal: { ...JOURNAL, state }, found: 'whole' });
    }
  });

  test.each<[what: string, spoil: (bytes: Uint8Array) => Uint8Array]>([
    ['is empty', () => new Uint8Array()],
    ['is zeros', (bytes) => new Uint8Array(bytes.length)],
    ['is garbage', (bytes) => bytes.map((byte, at) => byte ^ (at * 31))],
    ['is text that nobody wrote', () => Buffer.from('{"v":1}\nxxxxxxxxxxxxxxxxxxxxxx\n')],
    ['lost a floor', (bytes) => Buffer.from(Buffer.from(bytes).toString().replace('"counter":2', '"counter":1'))],
  ])('that %s is damaged, and nothing of it is believed', async (_, spoil) => {
    const disk = await written(JOURNAL);
    disk.files.set(JOURNAL_FILE, spoil(disk.files.get(JOURNAL_FILE) ?? new Uint8Array()));
    expect(await readJournal(disk)).toEqual({ journal: NO_JOURNAL, found: 'damaged' });
  });

  it('is whole or damaged wherever it is torn', async () => {
    const whole = await sealed(JOURNAL);
    const disk = new MemoryDisk();
    // The end of the last line may be missing.
    for (let length = 0; length < whole.length - 1; length += 1) {
      disk.files.set(JOURNAL_FILE, whole.slice(0, length));
      expect((await readJournal(disk)).found).toBe('damaged');
    }
  });

  it('of a newer agent is read, and what that added is kept for it', async () => {
    const disk = await written({ ...JOURNAL, added: { by: 'a newer agent' } });
    const { journal, found } = await readJournal(disk);
    expect(found).toBe('whole');
    await writeJournal(disk, { ...journal, state: 'committed' });
    expect(Buffer.from(disk.files.get(JOURNAL_FILE) ?? '').toString()).toContain('"added":{"by":"a newer agent"}');
  });

  test.each<[what: string, change: object]>([
    ['another version', { v: 2 }],
    ['a state that nobody knows', { state: 'hibernating' }],
    ['a target of another form', { target: 'kiosk-app' }],
    ['no sensors', { goodSensors: undefined }],
  ])('that has %s begins anew, and keeps floors and quarantine', async (_, change) => {
    const disk = await written({ ...JOURNAL, ...change });
    expect(await readJournal(disk)).toEqual({ journal: { ...NO_JOURNAL, ...LASTING }, found: 'foreign' });
  });

  it('takes nothing from what has another form altogether', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const { journal, found } = await readJournal(await written({ floors: value }));
        expect({ journal, found }).toEqual({ journal: NO_JOURNAL, found: 'foreign' });
      }),
      { numRuns: 50 },
    );
  });
});
