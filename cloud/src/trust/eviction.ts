import { generateKeyPairSync } from 'node:crypto';
import type { Audit, Clock, Log, TlsIdentity } from '../ports.ts';
import type { Authority } from './authority.ts';
import { pemChain } from './server-certificate.ts';

/** The broker reads a list when its loop comes round: who is put out sooner could come in again. */
const READ_WITHIN_MS = 1_000;
/** A fleet may be taken back at once; each costs the broker a handshake. */
const AT_ONCE = 4;
const TRIES = 3;
const TRY_AGAIN_MS = 5_000;

interface Parts {
  readonly authorities: { readonly issuing: Pick<Authority, 'issueEviction'> };
  readonly clock: Clock;
  readonly audit: Audit;
  readonly log: Log;
  /** Connects to the broker under this client id, and leaves. Rejects when the broker did not take it. */
  readonly takeOver: (clientId: string, identity: TlsIdentity) => Promise<void>;
}

/**
 * Closes connections of devices at a broker that closes none when a certificate is taken back: the service connects once
 * in the device's name, with a certificate of minutes, and leaves. A client id has one connection, so the device's ends;
 * its own certificate, which the broker refuses by now, keeps it out. One that has a good certificate comes back.
 */
export class Evictions {
  readonly #parts: Parts;
  readonly #waiting = new Set<string>();
  #woken = Promise.withResolvers<void>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The broker was told just now that they may not come again. */
  evict(deviceIds: readonly string[]): void {
    for (const deviceId of deviceIds) this.#waiting.add(deviceId);
    this.#woken.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    while (!signal.aborted) {
      await Promise.race([this.#woken.promise, stopped]);
      this.#woken = Promise.withResolvers();
      await this.#parts.clock.sleep(READ_WITHIN_MS, signal);
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work(signal)));
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (const deviceId of this.#waiting) {
      if (signal.aborted) return;
      this.#waiting.delete(deviceId);
      await this.#evict(deviceId, signal);
    }
  }

  async #evict(deviceId: string, signal: AbortSignal): Promise<void> {
    const { audit, log, clock } = this.#parts;
    const entry = { actor: 'service', action: 'disconnect', deviceId } as const;
    for (let tries = 1; ; tries++) {
      try {
        const serial = await this.#takeOver(deviceId);
        return void audit.add({ ...entry, result: 'done', detail: { serial } });
      } catch (error) {
        if (signal.aborted) return;
        if (tries < TRIES) {
          await clock.sleep(TRY_AGAIN_MS, signal);
          continue;
        }
        const code = 'eviction_failed';
        log.error({ code, deviceId, err: error }, 'A connection at the broker could not be closed');
        return void audit.add({ ...entry, result: 'failed', code });
      }
    }
  }

  /** @returns the serial number of the certificate that was made for it */
  async #takeOver(deviceId: string): Promise<string> {
    const { authorities, clock, takeOver } = this.#parts;
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const { chain, serial } = await authorities.issuing.issueEviction({ deviceId, spki, now: clock.wall() });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    await takeOver(deviceId, { key, cert: pemChain(chain) });
    return serial;
  }
}
