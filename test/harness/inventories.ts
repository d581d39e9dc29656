import fc from 'fast-check';
import {
  COMPONENT_KINDS,
  MAX_COMPONENT_DEPTH,
  type Component,
  type ComponentKind,
  type Inventory,
} from '@paddock/shared/inventory.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { BOOT_ID, INCARNATION } from './reports.ts';

/** A kiosk's machine, small. */
export const MACHINE: readonly Component[] = [
  {
    kind: 'system',
    name: 'system',
    manufacturer: 'Acme',
    model: 'Kiosk 7',
    serialNumber: 'ACM-0001',
    children: [
      { kind: 'disk', name: 'sda', model: 'SSD 64', serialNumber: 'S64-1111', properties: { sizeMiB: '61057' } },
      { kind: 'network', name: 'eth0', serialNumber: 'b8:27:eb:00:00:01' },
      { kind: 'operating-system', name: 'linux', version: '12' },
    ],
  },
];

/** The machine with something else in the place of one of its parts, or without it. */
export const machineWith = (name: string, part: Component | null): readonly Component[] =>
  MACHINE.map((system) => ({
    ...system,
    children: (system.children ?? []).flatMap((child) => (child.name === name ? (part ?? []) : child)),
  }));

/** An inventory that fits the schema. */
export const inventoryOf = (fields: Partial<Inventory> = {}): Inventory => ({
  v: PAYLOAD_VERSION,
  device: 'kiosk-0001',
  incarnation: INCARNATION,
  start: 1,
  boot: { id: BOOT_ID },
  uptimeMs: 90_000,
  components: structuredClone(MACHINE) as Inventory['components'],
  ...fields,
});

/** Few different texts, so that siblings, serial numbers and places meet. */
const text = fc.oneof(
  fc.constantFrom('a', 'b', 'SN-1234', 'SN-5678', '0000', 'a #2', '__proto__', '/', '["disk a"]', 'é'),
  fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }).filter((drawn) => !/\p{Cc}/u.test(drawn)),
);
const kind: fc.Arbitrary<ComponentKind> = fc.constantFrom(...COMPONENT_KINDS.slice(4, 8));
const maybe = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.oneof(
    fc.constant({}),
    value.map((drawn) => ({ [key]: drawn })),
  );
const own = fc
  .tuple(
    fc.record({ kind, name: text }),
    maybe('serialNumber', text),
    maybe('version', text),
    maybe('properties', fc.dictionary(fc.constantFrom('mac', 'sizeMiB', 'toString'), text)),
  )
  .map((parts): Component => Object.assign({}, ...parts) as Component);

const level = (depth: number): fc.Arbitrary<Component> =>
  depth === 1
    ? own
    : fc
        .tuple(own, fc.array(level(depth - 1), { maxLength: 3 }))
        .map(([component, children]) => ({ ...component, children }));

/** Trees of few kinds and texts: full of twins, moves and swaps. */
export const anyComponents: fc.Arbitrary<readonly Component[]> = fc.array(level(MAX_COMPONENT_DEPTH - 2), {
  maxLength: 4,
});
