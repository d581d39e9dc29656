import { generateKeyPairSync, createPrivateKey, sign, type JsonWebKey } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Signing } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type KeySet } from '@paddock/shared/keys.ts';
import { kindOf } from './readings.ts';

/** What a simulated device must not forget. */
export interface Identity {
  readonly serialNumber: string;
  readonly incarnation: string;
  readonly start: number;
  readonly privateKey: JsonWebKey;
  /** Absent until it has enrolled. */
  readonly membership?: Membership;
}

/** What the cloud gave it: its id, and all that it connects with. PEM where it is a certificate or a key. */
export interface Membership {
  readonly deviceId: string;
  readonly mqttUrl: string;
  readonly certificates: string;
  readonly key: string;
  readonly renewAfter: string;
  readonly authorities: readonly string[];
  readonly cloudKeys: KeySet['keys'];
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
    // Devices of an older demonstration have no serial number: their keys are known, and they come back as who they were.
    this.#rows = this.#rows.map((row, index) => ({ ...row, serialNumber: serialNumberOf(index) }));
    while (this.#rows.length < count) this.#rows.push(newIdentity(this.#rows.length));
    this.#rows = this.#rows.map((row, index) => (index < count ? { ...row, start: row.start + 1 } : row));
    this.#save();
    return this.#rows.slice(0, count);
  }

  /** Remembers what was given to devices, by their serial numbers. */
  enrolled(memberships: ReadonlyMap<string, Membership>): void {
    this.#rows = this.#rows.map((row) => {
      const membership = memberships.get(row.serialNumber) ?? row.membership;
      return membership === undefined ? row : { ...row, membership };
    });
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

const serialNumberOf = (index: number): string =>
  `DEMO-${kindOf(index).toUpperCase()}-${String(index + 1).padStart(4, '0')}`;

function newIdentity(index: number): Identity {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    serialNumber: serialNumberOf(index),
    incarnation: randomBase64url(),
    start: 0,
    privateKey: privateKey.export({ format: 'jwk' }),
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
