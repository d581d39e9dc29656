import { generateKeyPairSync, createPrivateKey, sign, type JsonWebKey } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Signing } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { kindOf } from './readings.ts';

/** What a simulated device must not forget. */
interface Identity {
  readonly deviceId: string;
  readonly incarnation: string;
  readonly start: number;
  readonly privateKey: JsonWebKey;
  readonly registered: boolean;
}

/** All of them in one file with mode 0600; real devices have one each. */
export class Identities {
  readonly #file: string;
  #rows: Identity[];

  constructor(file: string) {
    this.#file = file;
    this.#rows = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Identity[]) : [];
  }

  /** The first `count` devices, those made that are missing, each of them one start later; durable on return. */
  begin(count: number): readonly Identity[] {
    while (this.#rows.length < count) this.#rows.push(newIdentity(this.#rows.length));
    this.#rows = this.#rows.map((row, index) => (index < count ? { ...row, start: row.start + 1 } : row));
    this.#save();
    return this.#rows.slice(0, count);
  }

  /** Remembers that the first `count` are registered. */
  registered(count: number): void {
    this.#rows = this.#rows.map((row, index) => (index < count ? { ...row, registered: true } : row));
    this.#save();
  }

  #save(): void {
    const temporary = `${this.#file}.tmp`;
    const fd = openSync(temporary, 'w', 0o600);
    writeSync(fd, JSON.stringify(this.#rows));
    fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, this.#file);
  }
}

function newIdentity(index: number): Identity {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    deviceId: `${kindOf(index)}-${String(index + 1).padStart(4, '0')}`,
    incarnation: randomBase64url(),
    start: 0,
    privateKey: privateKey.export({ format: 'jwk' }),
    registered: false,
  };
}

/** Signs as ES256 does: r and s, 32 bytes each (RFC 7518, section 3.4). */
export async function signingOf({ privateKey }: Identity): Promise<Signing> {
  const key = createPrivateKey({ key: privateKey, format: 'jwk' });
  const { keyId } = await importVerificationKey(privateKey);
  return {
    algorithm: 'ES256',
    keyId,
    sign: async (bytes) => sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }),
  };
}
