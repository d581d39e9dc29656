import type { Component } from '@paddock/shared/inventory.ts';
import { plain, sheet, type Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

interface ShownTime {
  readonly earliest: string | null;
  readonly latest: string;
  readonly estimate: string;
  readonly basis: string;
}

/** An inventory for people: when it was made, and the tree of components, a line each. */
export function inventorySheet(inventory: Item): string {
  const { deviceId, content, receivedAt } = inventory;
  const time = inventory['time'] as ShownTime;
  const unseen = inventory['unseen'] as readonly string[];
  const head = {
    device: deviceId,
    made: `${time.estimate} (${time.earliest ?? 'any time'} to ${time.latest}, ${time.basis})`,
    received: receivedAt,
    digest: content,
    ...(unseen.length > 0 && { 'could not be looked for': unseen.join(', ') }),
  };
  return [sheet(head), treeLines(inventory['components'] as readonly Component[]).join('\n')].join('\n\n');
}

/** The tree as `tree` draws it. */
export function treeLines(components: readonly Component[], indent = ''): string[] {
  return components.flatMap((component, at) => {
    const isLast = at === components.length - 1;
    const line = `${indent}${isLast ? '└─ ' : '├─ '}${componentLine(component)}`;
    return [line, ...treeLines(component.children ?? [], indent + (isLast ? '   ' : '│  '))];
  });
}

function componentLine({ kind, name, manufacturer, model, serialNumber, version, properties = {} }: Component): string {
  const what = [manufacturer, model, version].filter((text) => text !== undefined);
  const details = [
    ...(serialNumber === undefined ? [] : [['serial', serialNumber] as const]),
    ...Object.entries(properties),
  ];
  return plain(
    [
      `${kind} ${name}`,
      ...(what.length > 0 ? [`: ${what.join(' ')}`] : []),
      ...(details.length > 0 ? [` (${details.map(([key, value]) => `${key} ${value}`).join(', ')})`] : []),
    ].join(''),
  );
}

export const INVENTORY_CHANGE_COLUMNS: readonly Column<Item>[] = [
  { heading: 'AFTER', show: ({ time }) => (time as ShownTime).earliest },
  { heading: 'BEFORE', show: ({ time }) => (time as ShownTime).latest },
  {
    heading: 'CHANGE',
    show: ({ change, fromDevice }) => (typeof fromDevice === 'string' ? `moved from ${fromDevice}` : change),
  },
  { heading: 'COMPONENT', show: ({ path }) => (path as readonly string[]).join(' / ') },
  { heading: 'WAS', show: ({ before }) => ownWords(before as Component | null) },
  { heading: 'IS', show: ({ after }) => ownWords(after as Component | null) },
];

const ownWords = (component: Component | null): string | null => (component === null ? null : componentLine(component));
