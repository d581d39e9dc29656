import { randomBytes } from 'node:crypto';
import { importJWK, type CryptoKey, type JWK } from 'jose';
import { parseClaim, SERIAL_NUMBER_PATTERN, type Claim } from '@paddock/shared/enrolment.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { fromInstant, type WallMs } from '@paddock/shared/time.ts';

/** Everything that a factory needs to make claims without the cloud. Whoever has it lets devices in, within its bounds. */
export interface FactoryKit {
  readonly batch: string;
  /** Null: each claim names its own. */
  readonly model: string | null;
  /** Where devices enrol, and by what they know the cloud. */
  readonly url: string;
  readonly ca: string;
  readonly root: Claim['root'];
  /** RFC 3339: claims end with the batch. */
  readonly notAfter: string;
  readonly privateKey: JWK;
}

export class KitError extends Error {
  override readonly name = 'KitError';
  readonly code: 'kit_invalid' | 'serial_number_invalid';
  constructor(code: KitError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const SERIAL_NUMBER = new RegExp(SERIAL_NUMBER_PATTERN);
/** A factory's clock may be ahead. */
const BACKDATED_SECONDS = 3_600;
const seconds = (ms: number): number => Math.floor(ms / 1_000);

/** Seals claims of one batch. @throws KitError */
export class ClaimMint {
  readonly #kit: FactoryKit;
  readonly #signing: Signing;

  private constructor(kit: FactoryKit, signing: Signing) {
    this.#kit = kit;
    this.#signing = signing;
  }

  static async open(kit: unknown): Promise<ClaimMint> {
    try {
      const { privateKey, ...rest } = kit as FactoryKit;
      return new ClaimMint({ ...rest, privateKey }, await signingOf(privateKey));
    } catch (cause) {
      throw new KitError('kit_invalid', 'The file is not one that `paddock factory-keys add` has written', { cause });
    }
  }

  /** @param lifeMs how long it is good; never longer than its batch. @throws KitError */
  async mint(
    serialNumber: string,
    { now, lifeMs, model }: { now: WallMs; lifeMs: number; model?: string | undefined },
  ) {
    if (!SERIAL_NUMBER.test(serialNumber))
      throw new KitError('serial_number_invalid', `Not a serial number: ${JSON.stringify(serialNumber)}`);
    const { batch, url, ca, root, notAfter } = this.#kit;
    const exp = Math.min(seconds(now + lifeMs), seconds(fromInstant(notAfter)));
    const named = model ?? this.#kit.model;
    const claim = {
      v: PAYLOAD_VERSION,
      iss: batch,
      sub: serialNumber,
      jti: randomBytes(16).toString('base64url'),
      nbf: seconds(now) - BACKDATED_SECONDS,
      exp,
      ...(named !== null && { model: named }),
      url,
      ca,
      root,
    };
    return seal('claim', checked(claim), this.#signing);
  }
}

function checked(claim: object): Claim {
  try {
    return parseClaim(claim);
  } catch (cause) {
    throw new KitError('kit_invalid', 'The kit makes no valid claim', { cause });
  }
}

async function signingOf(privateKey: JWK): Promise<Signing> {
  const { keyId, algorithms } = await importVerificationKey(privateKey);
  const [algorithm = 'ES256'] = algorithms;
  const key = (await importJWK(privateKey, algorithm)) as CryptoKey;
  const parameters = algorithm === 'ES256' ? { name: 'ECDSA', hash: 'SHA-256' } : 'Ed25519';
  const sign = async (bytes: Uint8Array): Promise<Uint8Array> =>
    new Uint8Array(await crypto.subtle.sign(parameters, key, Uint8Array.from(bytes)));
  return { algorithm, keyId, sign };
}
