import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import { Key } from './formats.ts';
import { RepositoryError } from './repository-error.ts';
import type { OnlineKeys } from './root.ts';

const Online = Type.Object({ snapshot: Key, timestamp: Key }, { additionalProperties: false });

/** A public key as it goes from one person to another. @throws RepositoryError `metadata_malformed` */
export function parseKey(text: string): Key {
  const value = parseJson(text);
  if (!Compile(Key).Check(value)) throw new RepositoryError('metadata_malformed', 'it is no public key of firmware');
  return value;
}

/** @throws RepositoryError `metadata_malformed` */
export function parseOnlineKeys(text: string): OnlineKeys {
  const value = parseJson(text);
  if (!Compile(Online).Check(value)) throw new RepositoryError('metadata_malformed', 'these are no online keys');
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RepositoryError('metadata_malformed', 'not JSON', { cause });
  }
}
