import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Clock, Log, TlsIdentity } from '../ports.ts';
import type { Authority } from './authority.ts';
import type { TrustErrorCode } from './errors.ts';
import { judgeGiven, type GivenTerms, type Shown } from './given-certificate.ts';

/** Long sleeps end late on machines that were suspended, and somebody may replace a file at any time. */
const LOOK_EVERY_MS = 2_000;

/** A certificate from outside. */
export interface GivenCertificate {
  /** As it stands now. */
  readonly read: () => Promise<TlsIdentity>;
  readonly named: GivenTerms['named'];
}

export interface ServerCertificateParts {
  /** Who issues now; the certificate changes with it. */
  readonly issuer: () => Authority;
  /** Authorities that devices believe: DER. */
  readonly listed: () => readonly Uint8Array[];
  /** Shown in place of our own as long as devices would believe it. */
  readonly given?: GivenCertificate | undefined;
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** A certificate that is shown, and what it was made from: when that changes, it is time for another one. */
interface Current extends Shown {
  readonly madeFrom: string;
  readonly renewAfter: WallMs;
}

/**
 * The certificate that this instance's servers show: one from outside, or one of our own authority. Of our own the key
 * lives in memory only: each start and each renewal makes a new one, and devices believe it for its issuer.
 */
export class ServerCertificate {
  readonly #parts: ServerCertificateParts;
  readonly #listeners: ((identity: TlsIdentity) => void)[] = [];
  #current: Current;
  #complaint = '';
  #looking: Promise<void> = Promise.resolve();

  private constructor(parts: ServerCertificateParts, current: Current) {
    this.#parts = parts;
    this.#current = current;
  }

  /**
   * @param parts.hosts the names and addresses that devices reach the service by
   * @throws TrustError, and what reading throws, of a certificate from outside; one whose authority is named, and not on
   *   the list of keys yet, is waited for
   */
  static async make(parts: ServerCertificateParts): Promise<ServerCertificate> {
    const given = await readGiven(parts).catch((error: unknown) => {
      if (codeOf(error) !== 'server_certificate_unlisted') throw error;
      return null;
    });
    const certificate = new ServerCertificate(parts, given ?? (await make(parts)));
    if (parts.given !== undefined && given === null) certificate.#complain('server_certificate_unlisted');
    return certificate;
  }

  get current(): TlsIdentity {
    return this.#current.identity;
  }

  /** The authority that devices believe it for: DER. */
  get anchor(): Uint8Array {
    return this.#current.anchor;
  }

  /** @param listener told of each new one: servers take it for connections to come, and close none */
  onRenewed(listener: (identity: TlsIdentity) => void): void {
    this.#listeners.push(listener);
  }

  /** Renews it in time, as long as the service runs. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#parts.clock.sleep(LOOK_EVERY_MS, signal);
    }
    await this.#looking;
  }

  /** Looks whether another one has to be shown: its time has come, its issuer or its file is another. One look at a time. */
  look(): Promise<void> {
    const failed = (error: unknown): void => this.#complain(codeOf(error), error);
    this.#looking = this.#looking.then(() => this.#look().catch(failed));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const next = (await this.#given()) ?? (this.#isOwnGood() ? this.#current : await make(this.#parts));
    if (next.madeFrom === this.#current.madeFrom && next.renewAfter === this.#current.renewAfter) return;
    this.#current = next;
    for (const listener of this.#listeners) listener(next.identity);
    this.#parts.log.info({ until: toInstant(next.notAfter) }, 'Another server certificate is shown');
  }

  /** Null when there is none that devices would believe. A file that is being replaced costs nothing. */
  async #given(): Promise<Current | null> {
    if (this.#parts.given === undefined) return null;
    try {
      const given = await readGiven(this.#parts);
      this.#complaint = '';
      return given;
    } catch (error) {
      this.#complain(codeOf(error), error);
      const { madeFrom, notAfter } = this.#current;
      const holds = madeFrom.startsWith(GIVEN) && notAfter > this.#parts.clock.wall();
      return holds && !NOT_BELIEVED.has(codeOf(error)) ? this.#current : null;
    }
  }

  #isOwnGood(): boolean {
    const { madeFrom, renewAfter } = this.#current;
    return madeFrom === this.#parts.issuer().id && this.#parts.clock.wall() < renewAfter;
  }

  /** Each complaint once, until another one comes. */
  #complain(code: string, err?: unknown): void {
    if (this.#complaint === code) return;
    this.#complaint = code;
    this.#parts.log.error(
      { code, ...(err !== undefined && { err }) },
      'Another server certificate cannot be shown: going on with the one that is there',
    );
  }
}

const GIVEN = 'given ';
const NOT_BELIEVED: ReadonlySet<string> = new Set<TrustErrorCode>([
  'server_certificate_untrusted',
  'server_certificate_unlisted',
]);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'server_certificate_unreadable';

/** Null when none is given. */
async function readGiven({ given, hosts, listed, clock }: ServerCertificateParts): Promise<Current | null> {
  if (given === undefined) return null;
  const files = await given.read();
  const terms = { hosts, listed: listed(), named: given.named, now: clock.wall() };
  const shown = judgeGiven(files, terms);
  return { ...shown, madeFrom: `${GIVEN}${shown.identity.cert}`, renewAfter: shown.notAfter };
}

async function make({ issuer, hosts, clock }: ServerCertificateParts): Promise<Current> {
  const authority = issuer();
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { chain, renewAfter, notAfter } = await authority.issueServer({ spki, hosts, now: clock.wall() });
  const identity = { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: pemChain(chain) };
  return { identity, anchor: authority.certificateDer, notAfter: wallMs(notAfter), renewAfter, madeFrom: authority.id };
}

/** Certificates as TLS servers and brokers take them. */
export const pemChain = (chain: readonly Uint8Array[]): string =>
  chain.map((der) => new X509Certificate(der).toString()).join('');
