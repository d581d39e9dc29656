import { expiresAt, versionAfter } from '@paddock/cloud/tuf/formats.ts';
import { dueOnline, newSnapshot, newTimestamp, type Published } from '@paddock/cloud/tuf/online.ts';
import { newRoot, nextRoot } from '@paddock/cloud/tuf/root.ts';
import { nextTargets } from '@paddock/cloud/tuf/targets.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { newSigner } from '../../../harness/firmware.ts';

const HOUR = 3_600_000;
const NOW = wallMs(Date.UTC(2026, 10, 28, 12));
const at = (hours: number) => wallMs(NOW + hours * HOUR);
const [snapshotKey, timestampKey] = [newSigner(), newSigner()];
const people = { keys: [newSigner().key], threshold: 1 };
const online = { snapshot: snapshotKey.key, timestamp: timestampKey.key };
const root = newRoot({ root: people, targets: people, online }, NOW);
const targets = nextTargets(null, {}, NOW);
const snapshot = newSnapshot(targets, null, NOW, snapshotKey);
const timestamp = newTimestamp(snapshot, null, NOW, timestampKey);
const whole: Published = { root, targets, snapshot, timestamp };

describe('what the service signs itself is due', () => {
  it.each([
    ['not at once', whole, 1, []],
    ['not while half of its time is left', whole, 11.9, []],
    ['when less than half of a timestamp is left', whole, 12.1, ['timestamp']],
    ['when less than half of a snapshot is left', whole, 85, ['snapshot', 'timestamp']],
    ['when it was not signed for long', whole, 5_000, ['snapshot', 'timestamp']],
    ['when it was signed by a clock that was ahead', whole, -48, ['snapshot', 'timestamp']],
    ['when there is none', { ...whole, snapshot: null, timestamp: null }, 0, ['snapshot', 'timestamp']],
    ['not before there are targets', { ...whole, targets: null }, 5_000, []],
  ] as const)('%s', (_when, published, hours, due) => {
    expect(dueOnline(published, at(hours))).toEqual(due);
  });

  it('when it names something older', () => {
    const newer = nextTargets(targets, {}, at(1));
    expect(dueOnline({ ...whole, targets: newer }, at(1))).toEqual(['snapshot', 'timestamp']);
    const anew = newSnapshot(targets, snapshot, at(1), snapshotKey);
    expect(dueOnline({ ...whole, snapshot: anew }, at(1))).toEqual(['timestamp']);
  });

  it('when its key has no longer the role', () => {
    const rotated = nextRoot(root, { online: { ...online, timestamp: newSigner().key } }, at(1));
    expect(dueOnline({ ...whole, root: rotated }, at(1))).toEqual(['timestamp']);
  });
});

it('versions grow with the time, and by one where time does not', () => {
  const seconds = NOW / 1000;
  expect(versionAfter(null, NOW)).toBe(seconds);
  expect(versionAfter(seconds, NOW)).toBe(seconds + 1);
  expect(versionAfter(seconds - 5, at(1))).toBe(seconds + 3600);
  expect(versionAfter(seconds + 9_999_999, NOW)).toBe(seconds + 10_000_000);
  expect(expiresAt(wallMs(NOW + 999), 1)).toBe('2026-11-29T12:00:00Z');
});
