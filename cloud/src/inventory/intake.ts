import { parseInventory, type Inventory } from '@paddock/shared/inventory.ts';
import { REFUSALS } from '@paddock/shared/errors.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { authenticateAs, type Reading } from '../ingest/authenticate.ts';
import type { KeyDirectory } from '../ingest/directory.ts';
import type { Rejections } from '../ingest/rejections.ts';
import { SparingLog } from '../ingest/sparing-log.ts';
import { tell } from '../monitoring/telling.ts';
import type { Clock, ErrorAt, Inbound, Log, Metrics, Opener, Store } from '../ports.ts';
import type { KnownInventories } from './known.ts';
import { recordInventory, type AuthenticInventory, type RecordedInventory } from './record.ts';

export interface InventoryDeps {
  readonly store: Store;
  readonly keys: KeyDirectory;
  readonly opener: Opener;
  readonly known: KnownInventories;
  readonly rejections: Pick<Rejections, 'add'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly errorAt: ErrorAt;
}

const INVENTORIES: Reading<Inventory, AuthenticInventory> = {
  kind: 'inventory',
  parse: parseInventory,
  message: (proved, inventory) => ({ ...proved, inventory }),
};

const TOPIC_END = '/inventory';

/** Whether a message is for this intake; all others are for the one of reports, which refuses what it does not know. */
export const isInventory = ({ topic }: Inbound): boolean => topic.endsWith(TOPIC_END);

/** Inventories are rare; past these bounds they are let go, and asked for again by an answer. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 16_777_216;

/**
 * Takes inventories in beside the reports, and never in their way: one after the other, acknowledged at once. One that
 * is lost, be it by us, is sent again: the next answer to its device says that it is wanted.
 */
export class InventoryIntake {
  readonly #deps: InventoryDeps;
  readonly #defects: SparingLog;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #waitingBytes = 0;
  #isClosing = false;

  constructor(deps: InventoryDeps) {
    this.#deps = deps;
    this.#defects = new SparingLog(deps.clock, (fields, message) => deps.log.error(fields, message));
  }

  /** Never rejects. */
  async accept(inbound: Inbound): Promise<void> {
    const { length } = inbound.payload;
    if (this.#isClosing || this.#waiting >= MAX_WAITING || this.#waitingBytes + length > MAX_WAITING_BYTES)
      return this.#count('dropped');
    this.#waiting += 1;
    this.#waitingBytes += length;
    this.#last = this.#last.then(async () => {
      await this.#take(inbound);
      this.#waiting -= 1;
      this.#waitingBytes -= length;
    });
  }

  /** Takes nothing in any more, and lets go of what has not begun. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#last;
  }

  async #take(inbound: Inbound): Promise<void> {
    const { store, keys, opener, rejections, errorAt } = this.#deps;
    if (this.#isClosing) return;
    try {
      const authentication = await authenticateAs(INVENTORIES, inbound, keys, opener);
      if (authentication.verdict === 'refused') {
        rejections.add(authentication.message);
        return this.#count('refused');
      }
      const { message } = authentication;
      this.#conclude(message, await recordInventory(store, message, errorAt));
    } catch (cause) {
      this.#count('failed');
      this.#defects.tell({ err: cause, what: inbound.topic }, 'An inventory could not be recorded and was let go');
    }
  }

  #conclude(message: AuthenticInventory, { outcome, content, notice }: RecordedInventory): void {
    const { known, log } = this.#deps;
    this.#count(outcome);
    if (content !== null) known.learn(message.deviceId, content);
    if (notice !== null) tell(log, notice);
    if (outcome === 'too-often') this.#refuse(message);
  }

  #refuse({ deviceId, envelope, receivedAt, digest }: AuthenticInventory): void {
    const code = 'inventory_too_often';
    const topic = topicOf('inventory', deviceId);
    const refused = { topic, deviceId, payload: envelope, receivedAt, code, signedDigest: digest } as const;
    this.#deps.rejections.add({ ...refused, detail: REFUSALS[code].title });
  }

  #count(outcome: string): void {
    this.#deps.metrics.count('paddock_inventories_total', { outcome });
  }
}
