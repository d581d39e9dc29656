import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Clock, Log, TlsIdentity } from '../ports.ts';
import type { Authority } from './authority.ts';

/** Long sleeps end late on machines that were suspended, and timers hold no more than 24 days. */
const LOOK_EVERY_MS = 600_000;

/**
 * The certificate that this instance's servers show. Its key lives in memory only: each start and each renewal makes a
 * new one, and devices believe it for its issuer.
 */
export class ServerCertificate {
  readonly #authority: Authority;
  readonly #hosts: readonly string[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners: ((identity: TlsIdentity) => void)[] = [];
  #current: TlsIdentity;
  #renewAfter: WallMs;

  private constructor(parts: ServerCertificateParts, { identity, renewAfter }: Made) {
    this.#authority = parts.authority;
    this.#hosts = parts.hosts;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#current = identity;
    this.#renewAfter = renewAfter;
  }

  /** @param parts.hosts the names and addresses that devices reach the service by */
  static async make(parts: ServerCertificateParts): Promise<ServerCertificate> {
    return new ServerCertificate(parts, await make(parts));
  }

  get current(): TlsIdentity {
    return this.#current;
  }

  /** @param listener told of each new one: servers take it for connections to come, and close none */
  onRenewed(listener: (identity: TlsIdentity) => void): void {
    this.#listeners.push(listener);
  }

  /** Renews it in time, as long as the service runs. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#clock.wall() >= this.#renewAfter) await this.#renew();
      await this.#clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  async #renew(): Promise<void> {
    const made = await make({ authority: this.#authority, hosts: this.#hosts, clock: this.#clock });
    this.#current = made.identity;
    this.#renewAfter = made.renewAfter;
    for (const listener of this.#listeners) listener(made.identity);
    this.#log.info({}, 'The server certificate was renewed');
  }
}

export interface ServerCertificateParts {
  readonly authority: Authority;
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

interface Made {
  readonly identity: TlsIdentity;
  readonly renewAfter: WallMs;
}

async function make({ authority, hosts, clock }: Omit<ServerCertificateParts, 'log'>): Promise<Made> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { chain, renewAfter } = await authority.issueServer({ spki, hosts, now: clock.wall() });
  const identity = { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: pemChain(chain) };
  return { identity, renewAfter };
}

/** Certificates as TLS servers and brokers take them. */
export const pemChain = (chain: readonly Uint8Array[]): string =>
  chain.map((der) => new X509Certificate(der).toString()).join('');
