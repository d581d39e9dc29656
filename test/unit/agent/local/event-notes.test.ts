import { EventNotes, MOST_NOTES, NOTES_FILE } from '@paddock/agent/local/event-notes.ts';
import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const note = (n: number) => ({ id: `event-${n}`, content: 'x', outcome: { state: 'recorded' } as const });

describe('what became of events', () => {
  it('is remembered of the newest, on a file that does not grow without end', async () => {
    const disk = new MemoryDisk();
    const notes = await EventNotes.open(disk);
    for (let n = 0; n < 3 * MOST_NOTES; n += 1) await notes.add(note(n));
    const again = await EventNotes.open(disk.copy());
    const found = Array.from({ length: 3 * MOST_NOTES }, (_, n) => again.find(`event-${n}`)).filter(Boolean);
    expect(found).toHaveLength(MOST_NOTES);
    expect(again.find(`event-${3 * MOST_NOTES - 1}`)).toEqual(note(3 * MOST_NOTES - 1));
    expect(disk.files.get(NOTES_FILE)?.length).toBeLessThan(3 * MOST_NOTES * 100);
  });

  it('is not believed of a line that was changed, or of one that is none', async () => {
    const disk = new MemoryDisk();
    await (await EventNotes.open(disk)).add(note(1));
    const text = Buffer.from(disk.files.get(NOTES_FILE) ?? []).toString();
    disk.files.set(NOTES_FILE, Buffer.from(`\0\0garbage\n${text.replace('event-1', 'event-2')}${text}`));
    const again = await EventNotes.open(disk);
    expect([again.find('event-1'), again.find('event-2')]).toEqual([note(1), undefined]);
  });

  it('costs a torn write its own line alone', async () => {
    const disk = new MemoryDisk();
    const notes = await EventNotes.open(disk);
    disk.failNext(1, 9);
    await expect(notes.add(note(1))).rejects.toMatchObject({ code: 'ENOSPC' });
    await notes.add(note(2));
    const again = await EventNotes.open(disk);
    expect([again.find('event-1'), again.find('event-2')]).toEqual([undefined, note(2)]);
  });
});
