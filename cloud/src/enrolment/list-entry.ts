import type { JWK } from 'jose';
import { isCanonicalBase64url } from '@paddock/shared/base64url.ts';
import { SERIAL_NUMBER_PATTERN } from '@paddock/shared/enrolment.ts';
import { importVerificationKey, KeyError } from '@paddock/shared/keys.ts';
import { checkedText } from '../customers/attributes.ts';
import type { BadLine, LineFault, RawLine } from './list-lines.ts';

/** A line of a factory list in which nothing is wrong by itself. */
export interface ListEntry {
  readonly line: number;
  readonly serialNumber: string;
  readonly thumbprint: string;
  readonly modelId: string | null;
  readonly siteId: string | null;
  readonly name: string | null;
}

const SERIAL_NUMBER = new RegExp(SERIAL_NUMBER_PATTERN);
const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

class Fault extends Error {
  readonly code: LineFault;
  constructor(code: LineFault) {
    super(code);
    this.code = code;
  }
}

/** Every value comes as text, and a public key also as an object. */
export async function entryOf({ line, values }: RawLine): Promise<ListEntry | BadLine> {
  try {
    return {
      line,
      serialNumber: matching(values['serialNumber'], SERIAL_NUMBER, 'serial_number_invalid'),
      thumbprint: await thumbprintOf(values['fingerprint'], values['publicKey']),
      modelId: optional(values['model'], (value) => matching(value, ID, 'model_unknown')),
      siteId: optional(values['site'], (value) => matching(value, ID, 'site_unknown')),
      name: optional(values['name'], nameOf),
    };
  } catch (error) {
    if (error instanceof Fault) return { line, code: error.code };
    throw error;
  }
}

const optional = <T>(value: unknown, read: (value: unknown) => T): T | null =>
  value === undefined || value === null || value === '' ? null : read(value);

function matching(value: unknown, pattern: RegExp, code: LineFault): string {
  if (typeof value !== 'string' || !pattern.test(value)) throw new Fault(code);
  return value;
}

function nameOf(value: unknown): string {
  try {
    return checkedText(typeof value === 'string' ? value : '');
  } catch {
    throw new Fault('name_invalid');
  }
}

async function thumbprintOf(fingerprint: unknown, publicKey: unknown): Promise<string> {
  const given = optional(fingerprint, (value) => matching(value, THUMBPRINT, 'fingerprint_invalid'));
  if (given !== null && !isCanonicalBase64url(given)) throw new Fault('fingerprint_invalid');
  const jwk = optional(publicKey, jwkOf);
  const computed = jwk === null ? null : await thumbprintOfKey(jwk);
  if (given !== null && computed !== null && given !== computed) throw new Fault('fingerprint_mismatch');
  const thumbprint = computed ?? given;
  if (thumbprint === null) throw new Fault('key_missing');
  return thumbprint;
}

function jwkOf(value: unknown): JWK {
  const jwk = typeof value === 'string' ? parsed(value) : value;
  if (typeof jwk !== 'object' || jwk === null) throw new Fault('key_unsupported');
  if ('d' in jwk) throw new Fault('key_private');
  return { ...jwk };
}

function parsed(text: string): unknown {
  if (text.includes('PRIVATE KEY')) throw new Fault('key_private');
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault('key_unsupported');
  }
}

async function thumbprintOfKey(jwk: JWK): Promise<string> {
  try {
    return (await importVerificationKey(jwk)).thumbprint;
  } catch (error) {
    if (error instanceof KeyError) throw new Fault('key_unsupported');
    throw error;
  }
}
