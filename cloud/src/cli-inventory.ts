import type { Command } from 'commander';
import { api, print, printList, sub, type Options } from './cli-command.ts';
import { INVENTORY_CHANGE_COLUMNS, inventorySheet } from './terminal/inventory-sheet.ts';

/** `paddock devices inventory`. */
export function addInventory(devices: Command): void {
  const inventory = sub(devices, 'inventory <device-id>', 'what a device is made of, and what changed of it', [
    'devices inventory kiosk-0001',
    'devices inventory kiosk-0001 --as-of 2026-11-01T00:00:00Z',
    'devices inventory kiosk-0001 --changes --json',
  ])
    .option('--as-of <time>', 'as it was then (RFC 3339)')
    .option('--changes', 'components that were added, removed, changed or moved, newest first');
  inventory.action(async (deviceId: string) => {
    const { asOf, changes } = inventory.optsWithGlobals<Options>();
    const path = `/devices/${encodeURIComponent(deviceId)}/inventory`;
    if (changes === true) return printList(inventory, `${path}/changes`, INVENTORY_CHANGE_COLUMNS);
    const query = typeof asOf === 'string' ? `?asOf=${encodeURIComponent(instantOf(asOf))}` : '';
    const { body } = await (await api(inventory)).get(path + query);
    print(inventory, body, () => inventorySheet(body));
  });
}

/** The API takes one form of a time only; what is no time at all it names itself. */
function instantOf(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : new Date(ms).toISOString();
}
