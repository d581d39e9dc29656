import { parseInventory, type Inventory } from '@paddock/shared/inventory.ts';
import type { Reading } from '../ingest/authenticate.ts';
import { SideIntake, type SideDeps } from '../ingest/side-intake.ts';
import { tell } from '../monitoring/telling.ts';
import type { ErrorAt, Store } from '../ports.ts';
import type { KnownInventories } from './known.ts';
import { recordInventory, type AuthenticInventory } from './record.ts';

export interface InventoryDeps extends SideDeps {
  readonly store: Store;
  readonly known: KnownInventories;
  readonly errorAt: ErrorAt;
}

const INVENTORIES: Reading<Inventory, AuthenticInventory> = {
  kind: 'inventory',
  parse: parseInventory,
  message: (proved, inventory) => ({ ...proved, inventory }),
};

/** Takes inventories in. */
export const inventoryIntake = (deps: InventoryDeps): SideIntake<Inventory, AuthenticInventory> =>
  new SideIntake(deps, {
    reading: INVENTORIES,
    metric: 'paddock_inventories_total',
    failure: 'An inventory could not be recorded and was let go',
    async record(message) {
      const { outcome, content, notice } = await recordInventory(deps.store, message, deps.errorAt);
      if (content !== null) deps.known.learn(message.deviceId, content);
      if (notice !== null) tell(deps.log, notice);
      return { outcome, ...(outcome === 'too-often' && { refused: 'inventory_too_often' }) };
    },
  });
