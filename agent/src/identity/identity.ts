import { Low } from 'lowdb';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Disk } from '../ports.ts';
import { stateAdapter, type Identity, type Loss } from './state-file.ts';

export interface BegunStart extends Identity {
  /** `missing` on the first run, null when the state was there; anything else is a state that was lost. */
  readonly loss: Loss | null;
}

/**
 * Begins a start. When this resolves, not even a power cut can make another start of the same number.
 * A state that is missing or damaged begins a new incarnation, so that no identity is ever used twice.
 */
export async function beginStart(disk: Disk): Promise<BegunStart> {
  const adapter = stateAdapter(disk);
  const database = new Low<Identity>(adapter, { incarnation: randomBase64url(), start: 0 });
  await database.read();
  database.data = { ...database.data, start: database.data.start + 1 };
  await database.write();
  return { ...database.data, loss: adapter.loss() };
}
