import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { COMPONENT_KINDS, countComponents, MAX_COMPONENTS, parseInventory } from '@paddock/shared/inventory.ts';
import { buildInventory, inventoryLines } from '@paddock/agent/inventory/build.ts';
import type { FoundPart } from '@paddock/agent/ports.ts';
import { inventoryOf } from '../../../harness/inventories.ts';

const build = (parts: readonly FoundPart[]) => buildInventory({ parts, unseen: [], notes: [] }).components;

describe('the tree of what was found', () => {
  test('has the system outside, the board inside it, and on the board what sits there', () => {
    const components = build([
      { kind: 'disk', name: 'sda', serialNumber: 'S64-1111' },
      { kind: 'processor', name: 'cpu', model: 'A72' },
      { kind: 'system', name: 'system', manufacturer: 'Acme' },
      { kind: 'board', name: 'board', serialNumber: 'B-1' },
    ]);
    expect(inventoryLines(components)).toEqual([
      'system system: Acme',
      '  board board (serial B-1)',
      '    processor cpu: A72',
      '  disk sda (serial S64-1111)',
    ]);
  });

  test('does without a system and a board', () => {
    expect(inventoryLines(build([{ kind: 'processor', name: 'cpu' }]))).toEqual(['system system', '  processor cpu']);
  });

  test('says nothing where the maker said nothing', () => {
    const [system] = build([
      {
        kind: 'system',
        name: 'system',
        manufacturer: 'To Be Filled By O.E.M.',
        model: ' A\tbox \u001b[31m',
        version: '-',
        serialNumber: 'Default string',
        properties: { sku: null, height: undefined, cores: 4, uefi: false, tag: '' },
      },
    ]);
    expect(system).toEqual({
      kind: 'system',
      name: 'system',
      model: 'A box [31m',
      properties: { cores: '4', uefi: 'false' },
    });
  });

  test('always fits the schema, whatever was found', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constant(null));
    const part = fc.record({
      kind: fc.constantFrom(...COMPONENT_KINDS),
      name: fc.string({ unit: 'binary', maxLength: 300 }),
      model: text,
      serialNumber: text,
      properties: fc.record({ type: text, cores: fc.double() }),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
        const components = build(parts) as ReturnType<typeof inventoryOf>['components'];
        expect(parseInventory(inventoryOf({ components })).components).toBe(components);
      }),
    );
    const many = build(Array.from({ length: 400 }, (_, at) => ({ kind: 'usb', name: `1-${at}` })));
    expect(countComponents(many)).toBe(MAX_COMPONENTS);
  });
});
