import { parseRequest, type RequestedKey } from '../trust/issue-request.ts';
import { TrustError } from '../trust/errors.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Audit, AwsIot, Clock, Log, Sql, Store } from '../ports.ts';
import { digestOf, type TransportCertificate } from './certificate.ts';
import { climb } from './climb.ts';
import { AwsTransportError, codeOf } from './errors.ts';
import { prepareGround, type Ground } from './ground.ts';
import { holding } from './hold.ts';
import { requireAnswerable } from './issued.ts';
import { namesOf, type Names } from './names.ts';
import { beginThing } from './records.ts';
import { tidy } from './tidy.ts';

export interface AwsTransportParts {
  readonly store: Store;
  readonly iot: AwsIot;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
  /** The thing group of this deployment; its policy is named after it. */
  readonly group: string;
}

interface TransportRequest {
  /** A registered device. */
  readonly deviceId: string;
  /** PKCS#10 in DER: the TLS key, proved to be held. */
  readonly csr: Uint8Array;
  readonly identityThumbprint: string;
}

/** Devices connect to AWS IoT Core, with certificates that it issues for their own keys. */
export class AwsTransport {
  readonly #parts: AwsTransportParts;
  readonly #names: Names;
  #ground: Promise<Ground> | null = null;

  constructor(parts: AwsTransportParts) {
    this.#parts = parts;
    this.#names = namesOf(parts.group);
  }

  /**
   * A thing and one active certificate for the key. Asked again, it is the same certificate; after a failure, it goes on
   * from where it was. Not to be called within a transaction.
   * @throws TrustError of the request, and as `check`; AwsTransportError, each worth another try
   */
  async certificateFor(request: TransportRequest): Promise<TransportCertificate & { readonly mqttUrl: string }> {
    const { deviceId } = request;
    const asked = { ...request, keyDigest: digestOf((await keyOf(request)).spki) };
    const { store } = this.#parts;
    try {
      const { mqttUrl } = await this.#prepared();
      await beginThing(store, deviceId);
      const parts = { ...this.#parts, names: this.#names };
      return { ...(await holding(store, deviceId, (hold) => climb(parts, hold, asked))), mqttUrl };
    } catch (error) {
      // Somebody may have removed the group or the policy: they are looked at again.
      if (codeOf(error) === 'aws_missing') this.#ground = null;
      throw transportError(error);
    }
  }

  /**
   * Asks nobody but the database.
   * @returns the thumbprint of the TLS key
   * @throws TrustError, also `csr_key_revoked` and `certificates_too_many`
   */
  async check(sql: Sql, request: TransportRequest): Promise<string> {
    const { spki, thumbprint } = await keyOf(request);
    await requireAnswerable(sql, { ...request, keyDigest: digestOf(spki) });
    return thumbprint;
  }

  /** One turn of cleaning up, as a job. @param now the database's clock */
  async tidy(store: Store, now: WallMs): Promise<void> {
    await tidy({ ...this.#parts, names: this.#names }, store, now);
  }

  /** Made once a process; a failure is forgotten, so that the next device tries again. */
  async #prepared(): Promise<Ground> {
    this.#ground ??= prepareGround(this.#parts.iot, this.#names);
    const ground = this.#ground;
    try {
      return await ground;
    } catch (error) {
      if (this.#ground === ground) this.#ground = null;
      throw error;
    }
  }
}

/** @throws TrustError: besides what our own authority refuses, AWS IoT takes no Ed25519 */
async function keyOf({ csr, identityThumbprint }: Omit<TransportRequest, 'deviceId'>): Promise<RequestedKey> {
  const { spki, thumbprint } = await parseRequest(csr);
  if (thumbprint === identityThumbprint) throw new TrustError('csr_key_is_identity');
  if (spki.length < P256_SPKI_BYTES) throw new TrustError('csr_key_unsupported', 'AWS IoT takes P-256');
  return { spki, thumbprint };
}

/** Of an Ed25519 key it is 44. */
const P256_SPKI_BYTES = 91;

function transportError(error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof AwsTransportError || typeof code !== 'string' || !code.startsWith('aws_')) return error;
  const detail = error instanceof Error ? error.message : '';
  return new AwsTransportError(code === 'aws_throttled' ? 'aws_throttled' : 'aws_failed', detail, { cause: error });
}
