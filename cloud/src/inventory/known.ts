import type { Sql } from '../ports.ts';

/** A text of 43 characters each. */
const MAX_KNOWN = 200_000;

const CURRENT = 'SELECT device_id, content FROM current_inventories WHERE device_id = ANY($1)';

/**
 * Whose inventory is current under which digest. What is remembered may be old, as long as it is never asked about
 * twice in vain: whoever says another digest than is remembered is looked up.
 */
export class KnownInventories {
  readonly #sql: Sql;
  readonly #known = new Map<string, string>();
  /** The devices that the next query asks for; it starts when the one before has ended. */
  #gathering: { readonly ids: Set<string>; readonly answers: Promise<ReadonlyMap<string, string>> } | null = null;
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Whether a device that says this digest is to send its inventory. Never rejects: the next report says it again. */
  async wants(deviceId: string, digest: string): Promise<boolean> {
    if (this.#known.get(deviceId) === digest) return false;
    try {
      const current = await this.#look(deviceId);
      if (current !== undefined) this.learn(deviceId, current);
      return current !== digest;
    } catch {
      return false;
    }
  }

  learn(deviceId: string, content: string): void {
    this.#known.delete(deviceId);
    this.#known.set(deviceId, content);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }

  async #look(deviceId: string): Promise<string | undefined> {
    this.#gathering ??= this.#gather();
    this.#gathering.ids.add(deviceId);
    return (await this.#gathering.answers).get(deviceId);
  }

  #gather() {
    const ids = new Set<string>();
    const answers = this.#lastRead.then(async () => {
      this.#gathering = null;
      const rows = await this.#sql.query<{ device_id: string; content: string }>(CURRENT, [[...ids]]);
      return new Map(rows.map(({ device_id, content }) => [device_id, content]));
    });
    this.#lastRead = answers.catch(() => undefined);
    return { ids, answers };
  }
}
