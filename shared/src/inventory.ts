import type { Static } from 'typebox';
import * as Type from 'typebox';
import { sha256Base64url } from './base64url.ts';
import { Refusal } from './errors.ts';
import { Count, DeviceId, Incarnation, parserOf } from './message.ts';

/** What a component is. `other` takes what none of these is. */
export const COMPONENT_KINDS = [
  'system', // the machine as a whole: what its maker sells
  'chassis',
  'board',
  'firmware', // BIOS or UEFI
  'processor',
  'memory',
  'disk',
  'network',
  'usb',
  'serial', // a serial port, or an adapter that makes one
  'operating-system',
  'peripheral', // a printer, a card reader, a display: what hangs on the machine
  'other',
] as const;
export type ComponentKind = (typeof COMPONENT_KINDS)[number];

/** Bounds of one inventory: components in all, and components inside of each other. */
export const MAX_COMPONENTS = 256;
export const MAX_COMPONENT_DEPTH = 5;
export const MAX_COMPONENT_TEXT = 128;
export const MAX_PROPERTIES = 16;

/** Without control characters: people look at it, in terminals too. */
const Text = Type.String({
  minLength: 1,
  maxLength: MAX_COMPONENT_TEXT,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
});
const Kind = Type.Enum([...COMPONENT_KINDS]);

/** What is known of a component itself. Nothing that changes all the time: that is health, not inventory. */
const OWN = {
  kind: Kind,
  /** What tells it from its siblings of the same kind: `eth0`, `DIMM A1`. */
  name: Text,
  manufacturer: Type.Optional(Text),
  model: Type.Optional(Text),
  serialNumber: Type.Optional(Text),
  version: Type.Optional(Text),
  properties: Type.Optional(
    Type.Record(Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9]{0,31}$' }), Text, {
      maxProperties: MAX_PROPERTIES,
      additionalProperties: false,
    }),
  ),
} as const;

// One schema a level, so that the depth is bounded by the schema itself.
const Level5 = Type.Object({ ...OWN, children: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 0 })) });
const Level4 = Type.Object({ ...OWN, children: Type.Optional(Type.Array(Level5, { maxItems: MAX_COMPONENTS })) });
const Level3 = Type.Object({ ...OWN, children: Type.Optional(Type.Array(Level4, { maxItems: MAX_COMPONENTS })) });
const Level2 = Type.Object({ ...OWN, children: Type.Optional(Type.Array(Level3, { maxItems: MAX_COMPONENTS })) });
const Level1 = Type.Object({ ...OWN, children: Type.Optional(Type.Array(Level2, { maxItems: MAX_COMPONENTS })) });

type Own = Static<typeof Own>;
const Own = Type.Object(OWN);

/** A part of the machine, with the parts of it. */
export interface Component extends Readonly<Own> {
  readonly children?: readonly Component[];
}

/** What a machine is made of, as it says itself: the whole of it, every time. */
export const Inventory = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  incarnation: Incarnation,
  start: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** As in a report: when the machine was looked at, by its own clock. */
  boot: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
  uptimeMs: Count,
  segment: Type.Optional(Count),
  wallMs: Type.Optional(Type.Integer({ minimum: -8_640_000_000_000_000, maximum: 8_640_000_000_000_000 })),
  /** Kinds that could not be looked for this time: that none of them is listed says nothing. */
  unseen: Type.Optional(Type.Array(Kind, { maxItems: COMPONENT_KINDS.length })),
  components: Type.Array(Level1, { maxItems: MAX_COMPONENTS }),
});
export type Inventory = Static<typeof Inventory>;

/** What makers leave in a field that they do not fill in: it says nothing. */
const PLACEHOLDER =
  /^(?:n\/?a|none|null|unknown|default string|not (?:specified|available|applicable|provided)|to be filled.*|(?:system |chassis |base board )?serial ?number|(?:system |product )?(?:version|product name|name|manufacturer)|0123456789.*|123456789.*|([^a-z1-9])\1*|0+|x+)$/i;

/** Whether a text is none of a maker's words for nothing. */
export const isPlaceholder = (text: string): boolean => PLACEHOLDER.test(text.trim());

const parseShape = parserOf(Inventory);

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export function parseInventory(payload: unknown): Inventory {
  const inventory = parseShape(payload);
  if (countComponents(inventory.components) > MAX_COMPONENTS)
    throw new Refusal('payload_invalid', `/components hold more than ${MAX_COMPONENTS} in all`);
  return inventory;
}

export const countComponents = (components: readonly Component[]): number =>
  components.reduce((count, { children = [] }) => count + 1 + countComponents(children), 0);

/**
 * The one text of a tree: JSON as RFC 8785 writes it (names in order of their UTF-16 code units, nothing between
 * them), with siblings in the order of their own texts, and without empty `children`. What is unknown to us counts.
 */
export const canonicalComponents = (components: readonly Component[]): string =>
  `[${components.map(canonicalComponent).toSorted().join(',')}]`;

export function canonicalComponent({ children = [], ...own }: Component): string {
  return object(own, children.length > 0 ? { children: canonicalComponents(children) } : {});
}

/** What a report says of its device's inventory: SHA-256 of the canonical text, base64url. */
export const inventoryDigest = (components: readonly Component[]): Promise<string> =>
  sha256Base64url(canonicalComponents(components));

/** @param written members whose text is made already */
function object(value: object, written: Readonly<Record<string, string>> = {}): string {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  const texts = [...members.map(([name, member]) => [name, canonical(member)] as const), ...Object.entries(written)];
  const ordered = texts.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${ordered.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  return typeof value === 'object' && value !== null ? object(value) : JSON.stringify(value);
}
