import { openDisk } from '@paddock/agent/adapters/disk.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { describe, expect, it } from 'vitest';
import { afterPowerCut, RecordingFiles, SAFEGUARDS, type Safeguard } from '../../../harness/agent/power-cut.ts';

const DIR = '/data';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (found: Uint8Array | undefined): string | null =>
  found === undefined ? null : new TextDecoder().decode(found);

/** What a file may hold while an operation runs, and from its end on. */
interface Step {
  readonly from: number;
  readonly to: number;
  readonly before: string | null;
  readonly after: string | null;
  /** Of an append also a beginning of it may be there, or zeros in its place. */
  readonly grows: boolean;
}

/** Every kind of operation on one file, one after the other. @returns every moment whose outcome the port does not allow */
async function cutOperations(omitted: Safeguard | null): Promise<string[]> {
  const files = new RecordingFiles(omitted);
  const disk = await openDisk(DIR, files);
  const steps: Step[] = [];
  let now: string | null = null;
  const perform = async (after: string | null, grows: boolean, work: (disk: Disk) => Promise<void>): Promise<void> => {
    const from = files.changes.length;
    await work(disk);
    steps.push({ from, to: files.changes.length, before: now, after, grows });
    now = after;
  };
  await perform('one', true, (to) => to.append('a', bytes('one')));
  await perform('one two', true, (to) => to.append('a', bytes(' two')));
  await perform('three', false, (to) => to.replace('a', bytes('three')));
  await perform('three four', true, (to) => to.append('a', bytes(' four')));
  await perform(null, false, (to) => to.remove('a'));
  await perform('five', true, (to) => to.append('a', bytes('five')));
  await perform('six', false, (to) => to.replace('a', bytes('six')));
  await perform('seven', false, (to) => to.replace('a', bytes('seven')));
  return steps.flatMap((step) => cutDuring(files, step));
}

function cutDuring({ changes }: RecordingFiles, step: Step): string[] {
  const broken: string[] = [];
  for (let count = step.from; count <= step.to; count += 1) {
    for (const left of afterPowerCut(changes, count)) {
      const found = text(left.get(`${DIR}/a`));
      const isAllowed = count === step.to ? found === step.after : isOnTheWay(found, step);
      if (!isAllowed) broken.push(`cut ${count}: ${JSON.stringify(found)}, from ${step.before} to ${step.after}`);
    }
  }
  return broken;
}

function isOnTheWay(found: string | null, { before, after, grows }: Step): boolean {
  if (found === before || found === after) return true;
  if (!grows || found === null || after === null) return false;
  const added = found.slice(before?.length ?? 0);
  return found.startsWith(before ?? '') && (after.startsWith(found) || /^\0*$/.test(added));
}

describe('the disk after a power cut at any moment', () => {
  it('holds what the port promises', async () => {
    expect(await cutOperations(null)).toEqual([]);
  });

  it.each(SAFEGUARDS)('does not when there is no %s', async (safeguard) => {
    expect(await cutOperations(safeguard)).not.toEqual([]);
  });
});
