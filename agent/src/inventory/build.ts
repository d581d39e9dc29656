import {
  COMPONENT_KINDS,
  isPlaceholder,
  MAX_COMPONENT_TEXT,
  MAX_COMPONENTS,
  MAX_PROPERTIES,
  type Component,
  type ComponentKind,
} from '@paddock/shared/inventory.ts';
import type { Findings, FoundPart, MachineInventory } from '../ports.ts';

/** What sits on the board, where there is one; all else belongs to the system. */
const ON_BOARD: readonly ComponentKind[] = ['firmware', 'processor', 'memory'];

/** The tree of what was found. What does not fit one inventory is left out, the kinds that come last first. */
export function buildInventory({ parts, unseen }: Findings): MachineInventory {
  const found = parts
    .map(componentOf)
    .toSorted((a, b) => rank(a) - rank(b))
    .slice(0, MAX_COMPONENTS - 1);
  const [system = { kind: 'system', name: 'system' } satisfies Component] = found.filter(
    ({ kind }) => kind === 'system',
  );
  const [board] = found.filter(({ kind }) => kind === 'board');
  const sitting = board === undefined ? [] : found.filter(({ kind }) => ON_BOARD.includes(kind));
  const others = found.filter((part) => part !== system && part !== board && !sitting.includes(part));
  const inside = board === undefined ? others : [withParts(board, sitting), ...others];
  return { components: [withParts(system, inside)], unseen: [...new Set(unseen)].toSorted() };
}

const rank = ({ kind }: Component): number => COMPONENT_KINDS.indexOf(kind);
const withParts = (component: Component, children: readonly Component[]): Component =>
  children.length > 0 ? { ...component, children } : component;

function componentOf({ kind, name, properties = {}, ...texts }: FoundPart): Component {
  const own = Object.entries(texts).flatMap(([field, text]) => {
    const clean = cleaned(text);
    return clean === null ? [] : [[field, clean] as const];
  });
  const said = Object.entries(properties)
    .map(([property, value]) => [property, cleaned(value)] as const)
    .filter(([, value]) => value !== null)
    .slice(0, MAX_PROPERTIES);
  return {
    kind,
    name: cleaned(name) ?? kind,
    ...Object.fromEntries(own),
    ...(said.length > 0 && { properties: Object.fromEntries(said) as Record<string, string> }),
  };
}

/** Makers put anything into these fields: control characters, blanks, and words for nothing. */
function cleaned(value: FoundPart['model'] | number | boolean): string | null {
  if (value === null || value === undefined) return null;
  const text = String(value)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_COMPONENT_TEXT)
    .toWellFormed()
    .trim();
  return text === '' || isPlaceholder(text) ? null : text;
}

/** For people: a line a component. */
export function inventoryLines(components: readonly Component[], depth = 0): string[] {
  return components.flatMap(({ children = [], ...component }) => {
    const { kind, name, manufacturer, model, version, serialNumber, properties = {} } = component;
    const what = [manufacturer, model, version].filter(Boolean).join(' ');
    const details = Object.entries({ ...(serialNumber && { serial: serialNumber }), ...properties })
      .map(([key, value]) => `${key} ${value}`)
      .join(', ');
    const line = `${'  '.repeat(depth)}${kind} ${name}${what && `: ${what}`}${details && ` (${details})`}`;
    return [line, ...inventoryLines(children, depth + 1)];
  });
}
