import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalComponents, type Component } from '@paddock/shared/inventory.ts';
import { apply, carriedOver, diff } from '@paddock/cloud/inventory/diff.ts';
import { flatten, isTelling, treeOf } from '@paddock/cloud/inventory/flat.ts';
import { anyComponents, MACHINE, machineWith } from '../../../harness/inventories.ts';

const textOf = (flat: ReturnType<typeof flatten>): string => canonicalComponents(treeOf([...flat.values()]));
const changes = (a: readonly Component[], b: readonly Component[]) =>
  diff(flatten(a), flatten(b)).map(({ change, before, after }) => [change, (after ?? before)?.own.name]);

describe('any two trees', () => {
  test('a list holds all of its tree', () => {
    fc.assert(
      fc.property(anyComponents, (tree) => {
        expect(textOf(flatten(tree))).toBe(canonicalComponents(tree));
      }),
    );
  });

  test('apply(diff(a, b), a) is b', () => {
    fc.assert(
      fc.property(anyComponents, anyComponents, (a, b) => {
        const [before, after] = [flatten(a), flatten(b)];
        expect(textOf(apply(diff(before, after), before))).toBe(canonicalComponents(b));
      }),
      { numRuns: 300 },
    );
  });

  test('nothing has changed between a tree and itself, however it was written down', () => {
    fc.assert(
      fc.property(anyComponents, (tree) => {
        expect(diff(flatten(tree), flatten(tree.toReversed()))).toEqual([]);
      }),
    );
  });

  test('carried over is what could not be looked for, and nothing is lost of what was seen', () => {
    fc.assert(
      fc.property(anyComponents, anyComponents, (a, b) => {
        const [before, now] = [flatten(a), flatten(b)];
        const kept = carriedOver(before, now, ['disk']);
        for (const [key, seen] of now) expect(kept.get(key)).toEqual(seen);
        const removed = diff(before, kept).filter(({ change }) => change === 'removed');
        expect(removed.filter((change) => change.before?.own.kind === 'disk')).toEqual([]);
      }),
    );
  });
});

describe('what became of a component', () => {
  test('one that is swapped goes and another comes, though it stands in the same place', () => {
    const swapped = machineWith('sda', { kind: 'disk', name: 'sda', model: 'SSD 64', serialNumber: 'S64-2222' });
    expect(changes(MACHINE, swapped)).toEqual([
      ['removed', 'sda'],
      ['added', 'sda'],
    ]);
  });

  test('one with a serial number is the same in another place', () => {
    const moved = machineWith('sda', {
      kind: 'disk',
      name: 'sdb',
      model: 'SSD 64',
      serialNumber: 'S64-1111',
      properties: { sizeMiB: '61057' },
    });
    expect(changes(MACHINE, moved)).toEqual([['changed', 'sdb']]);
  });

  test('one without is known by its place', () => {
    expect(changes(MACHINE, machineWith('linux', { kind: 'operating-system', name: 'linux', version: '13' }))).toEqual([
      ['changed', 'linux'],
    ]);
  });

  test('a placeholder of the maker is no serial number', () => {
    const part = (serialNumber: string): Component => ({ kind: 'disk', name: 'sda', serialNumber });
    const none = [
      '',
      '0',
      '000000',
      'None',
      'Default string',
      'To be filled by O.E.M.',
      '0123456789',
      'xxxxxxx',
      'N/A',
    ];
    expect(none.filter((serialNumber) => isTelling(serialNumber))).toEqual([]);
    expect(['S64-1111', 'b8:27:eb:00:00:01', '1000'].every((serialNumber) => isTelling(serialNumber))).toBe(true);
    expect(changes(machineWith('sda', part('None')), machineWith('sda', part('00000000')))).toEqual([
      ['changed', 'sda'],
    ]);
  });

  test('twins are told apart by nothing, and counted', () => {
    const twin: Component = { kind: 'memory', name: 'DIMM', model: 'X' };
    expect(changes([twin, twin], [twin, twin, twin])).toEqual([['added', 'DIMM']]);
    const clone: Component = { kind: 'usb', name: 'stick', serialNumber: '12345678' };
    expect(changes([clone, clone], [clone])).toEqual([['removed', 'stick']]);
  });
});
