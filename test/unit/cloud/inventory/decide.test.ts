import { describe, expect, test } from 'vitest';
import { compare, judge } from '@paddock/cloud/inventory/decide.ts';
import { flatten } from '@paddock/cloud/inventory/flat.ts';
import { inventoryOf, MACHINE, machineWith } from '../../../harness/inventories.ts';

const components = (tree: readonly object[]) => inventoryOf({ components: tree as never });

describe('the order of inventories', () => {
  const current = { ordinal: 2, start: 5, uptimeMs: 1000 };
  test.each([
    [{ ordinal: 2, start: 5, uptimeMs: 1001 }, 'new'],
    [{ ordinal: 2, start: 6, uptimeMs: 1 }, 'new'],
    [{ ordinal: 3, start: 1, uptimeMs: 1 }, 'new'],
    [{ ordinal: 2, start: 5, uptimeMs: 1000 }, 'repeated'],
    [{ ordinal: 2, start: 5, uptimeMs: 999 }, 'late'],
    [{ ordinal: 2, start: 4, uptimeMs: 9999 }, 'late'],
    [{ ordinal: 1, start: 9, uptimeMs: 9999 }, 'late'],
  ])('%o is %s', (place, verdict) => {
    expect(judge(place, current)).toBe(verdict);
    expect(judge(place, null)).toBe('new');
  });
});

describe('what a new inventory shows', () => {
  test('the first has changed nothing, and its parts may come from elsewhere', () => {
    const { changes, arrivals } = compare(inventoryOf(), null);
    expect(changes).toEqual([]);
    expect(arrivals.map(({ own }) => own.name)).toEqual(['system', 'sda', 'eth0']);
  });

  test('what could not be looked for is compared when it is seen again', () => {
    const before = flatten(MACHINE);
    const blind = compare({ ...components(machineWith('sda', null)), unseen: ['disk'] }, before);
    expect(blind.changes).toEqual([]);
    const swapped = machineWith('sda', { kind: 'disk', name: 'sda', serialNumber: 'S64-2222' });
    expect(compare(components(swapped), blind.components).changes.map(({ change }) => change)).toEqual([
      'removed',
      'added',
    ]);
    expect(compare(components(machineWith('sda', null)), before).changes.map(({ change }) => change)).toEqual([
      'removed',
    ]);
  });
});
