import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import type { Clock, Sql } from '../ports.ts';

/** Which key a device may sign with. */
export interface KeyDirectory {
  /** @throws Refusal `device_unknown`, `device_retired`, `key_unknown` or `key_revoked` */
  keyOf(deviceId: string, keyId: string): Promise<VerificationKey>;
}

/** What the database said of a device at one moment; null when it is not registered. */
interface Remembered {
  readonly readAt: number;
  readonly device: Known | null;
}
interface Known {
  readonly retired: boolean;
  readonly keys: Map<string, VerificationKey>;
  /** Ids of keys that were taken back: what they sign is refused by a code of its own. */
  readonly revoked: Set<string>;
}
type Answers = ReadonlyMap<string, Remembered>;

interface KeyRow {
  device_id: string;
  retired: boolean;
  revoked: boolean;
  /** Null when the device has no key. */
  jwk: Parameters<typeof importVerificationKey>[0] | null;
}

/** NOTIFY tells of changes at once; should one be lost with its connection, this bounds the error. */
const TRUSTED_FOR_MS = 60_000;
/** Strangers are remembered too, or every one of their messages would cost a query; bounded, for they are many. */
const MAX_REMEMBERED = 200_000;

const KEYS_OF_DEVICES = `
  SELECT d.device_id, d.retired_at IS NOT NULL AS retired, k.revoked_at IS NOT NULL AS revoked, k.jwk
  FROM devices d LEFT JOIN device_keys k ON k.device_id = d.device_id
  WHERE d.device_id = ANY($1)`;

/** Reads keys from the database, many devices in one query, and remembers them until told that they changed. */
export class StoredKeyDirectory implements KeyDirectory {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();
  /** The devices that the next query asks for; it starts when the one before has ended. */
  #gathering: { readonly ids: Set<string>; readonly answers: Promise<Answers> } | null = null;
  #lastRead: Promise<unknown> = Promise.resolve();
  /** What changed while a query was under way must not be remembered as that query saw it. */
  readonly #changedMeanwhile = new Set<string>();

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  async keyOf(deviceId: string, keyId: string): Promise<VerificationKey> {
    const { device } = this.#fresh(deviceId) ?? (await this.#look(deviceId));
    if (device === null) throw new Refusal('device_unknown', deviceId);
    if (device.retired) throw new Refusal('device_retired', deviceId);
    if (device.revoked.has(keyId)) throw new Refusal('key_revoked', keyId);
    const key = device.keys.get(keyId);
    if (key === undefined) throw new Refusal('key_unknown', keyId);
    return key;
  }

  /** The device's row or keys changed. */
  forget(deviceId: string): void {
    this.#remembered.delete(deviceId);
    this.#changedMeanwhile.add(deviceId);
  }

  /** Anything may have changed unheard. */
  forgetAll(): void {
    for (const deviceId of this.#remembered.keys()) this.forget(deviceId);
  }

  #fresh(deviceId: string): Remembered | null {
    const known = this.#remembered.get(deviceId);
    return known !== undefined && this.#clock.monotonic() - known.readAt < TRUSTED_FOR_MS ? known : null;
  }

  async #look(deviceId: string): Promise<Remembered> {
    this.#gathering ??= this.#gather();
    this.#gathering.ids.add(deviceId);
    const answer = (await this.#gathering.answers).get(deviceId);
    return answer ?? { readAt: 0, device: null };
  }

  #gather() {
    const ids = new Set<string>();
    const answers = this.#lastRead.then(() => {
      this.#gathering = null;
      return this.#read([...ids]);
    });
    this.#lastRead = answers.catch(() => undefined);
    return { ids, answers };
  }

  async #read(ids: readonly string[]): Promise<Answers> {
    this.#changedMeanwhile.clear();
    const readAt = this.#clock.monotonic();
    const answers = await parseRows(await this.#sql.query<KeyRow>(KEYS_OF_DEVICES, [ids]), ids, readAt);
    for (const [id, answer] of answers) if (!this.#changedMeanwhile.has(id)) this.#remember(id, answer);
    return answers;
  }

  #remember(id: string, answer: Remembered): void {
    this.#remembered.delete(id);
    this.#remembered.set(id, answer);
    if (this.#remembered.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }
}

async function parseRows(rows: readonly KeyRow[], ids: readonly string[], readAt: number): Promise<Answers> {
  const devices = new Map<string, Known>();
  for (const { device_id, retired, revoked, jwk } of rows) {
    const device = devices.get(device_id) ?? { retired, keys: new Map(), revoked: new Set() };
    devices.set(device_id, device);
    if (jwk === null) continue;
    const key = await importVerificationKey(jwk);
    if (revoked) device.revoked.add(key.keyId);
    else device.keys.set(key.keyId, key);
  }
  return new Map(ids.map((id) => [id, { readAt, device: devices.get(id) ?? null }]));
}
