import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalComponents,
  inventoryDigest,
  MAX_COMPONENT_DEPTH,
  MAX_COMPONENTS,
  parseInventory,
  type Component,
} from '@paddock/shared/inventory.ts';
import { anyComponents, inventoryOf, MACHINE } from '../../harness/inventories.ts';
import { refusalOf } from '../../harness/refusals.ts';

/** The same tree, written down in another order everywhere. */
const shuffled = (components: readonly Component[], by: number): Component[] =>
  components
    .map(({ children, ...own }) => ({
      ...(children && { children: shuffled(children, by + 1) }),
      ...Object.fromEntries(Object.entries(own).toReversed()),
    }))
    .map((component) => component as Component)
    .toSorted((a, b) => ((JSON.stringify(a).length * by) % 7) - ((JSON.stringify(b).length * by) % 7));

describe('the canonical text', () => {
  test('is RFC 8785 with siblings in order', () => {
    expect(
      canonicalComponents([
        { name: 'b', kind: 'disk', children: [] },
        { version: 'é"\n', kind: 'disk', name: 'a', properties: { b: '2', a: '1' } },
      ]),
    ).toBe(
      '[{"kind":"disk","name":"a","properties":{"a":"1","b":"2"},"version":"é\\"\\n"},{"kind":"disk","name":"b"}]',
    );
  });

  test('does not depend on the order in which a tree was written', () => {
    fc.assert(
      fc.property(anyComponents, fc.nat(6), (components, by) => {
        expect(canonicalComponents(shuffled(components, by))).toBe(canonicalComponents(components));
      }),
    );
  });

  test('is JSON of the same tree, and the canonical text of itself', () => {
    fc.assert(
      fc.property(anyComponents, (components) => {
        const text = canonicalComponents(components);
        expect(canonicalComponents(JSON.parse(text) as Component[])).toBe(text);
      }),
    );
  });

  test('tells every other tree apart', async () => {
    const [system] = MACHINE;
    const other = [{ ...system, serialNumber: 'ACM-0002' } as Component];
    expect(await inventoryDigest(other)).not.toBe(await inventoryDigest(MACHINE));
    // What a newer device says beyond us counts, too: otherwise it would be asked for ever.
    const newer = [{ ...system, colour: 'red' } as Component];
    expect(await inventoryDigest(newer)).not.toBe(await inventoryDigest(MACHINE));
  });

  test('has its SHA-256 as the digest', async () => {
    const expected = createHash('sha256').update(canonicalComponents(MACHINE)).digest('base64url');
    expect(await inventoryDigest(MACHINE)).toBe(expected);
  });
});

const leaf = (name: string, more: object = {}): object => ({ kind: 'other', name, ...more });
const nested = (depth: number): object => (depth === 1 ? leaf('x') : leaf('x', { children: [nested(depth - 1)] }));
const parse = (components: readonly object[]) => parseInventory({ ...inventoryOf(), components });

describe('an inventory from outside', () => {
  test('is taken as it is, unknown fields included', () => {
    const inventory = { ...inventoryOf(), later: true };
    expect(parseInventory(inventory)).toEqual(inventory);
    expect(parse([nested(MAX_COMPONENT_DEPTH)]).components).toHaveLength(1);
    expect(parse(Array.from({ length: MAX_COMPONENTS }, (_, at) => leaf(`${at}`))).components).toHaveLength(256);
  });

  test.each([
    ['deeper than the bound', [nested(MAX_COMPONENT_DEPTH + 1)]],
    ['more than the bound, side by side', Array.from({ length: MAX_COMPONENTS + 1 }, () => leaf('x'))],
    [
      'more than the bound in all',
      Array.from({ length: 20 }, () => leaf('x', { children: Array.from({ length: 20 }, () => leaf('y')) })),
    ],
    ['a kind that is none', [{ kind: 'gadget', name: 'x' }]],
    ['a component without a name', [{ kind: 'disk' }]],
    ['an empty text', [leaf('')]],
    ['a text that is too long', [leaf('x'.repeat(129))]],
    ['a control character', [leaf('x', { model: 'a\u001b[31m' })]],
    ['a line break in a property', [leaf('x', { properties: { mac: 'a\nb' } })]],
    ['a property with a strange name', [leaf('x', { properties: { 'a b': 'c' } })]],
    ['a property that is no text', [leaf('x', { properties: { size: 7 } })]],
    [
      'too many properties',
      [leaf('x', { properties: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`p${at}`, 'v'])) })],
    ],
    ['children that are no list', [leaf('x', { children: {} })]],
  ])('with %s is refused', async (_, components) => {
    expect(await refusalOf(() => parse(components))).toBe('payload_invalid');
  });

  test('of a future version is called that', async () => {
    expect(await refusalOf(() => parseInventory({ ...inventoryOf(), v: 2 }))).toBe('version_unsupported');
  });
});
