import type { Adapter } from 'lowdb';
import { sha256Base64url } from '@paddock/shared/base64url.ts';
import type { Disk } from '../ports.ts';

export const STATE_FILE = 'state.json';

/** With the sequence, the identity and the order of every report. */
export interface Identity {
  /** Random, lives with the state file: 8 bytes in base64url. */
  readonly incarnation: string;
  /** Counts the starts of the agent in this incarnation, from 1. */
  readonly start: number;
}

/** Why there was no state to go on with. */
export type Loss = 'missing' | 'empty' | 'foreign' | 'damaged';

export interface StateAdapter extends Adapter<Identity> {
  /** What the last read found instead of a state. */
  loss(): Loss | null;
}

/** lowdb's adapter on the Disk port: written whole and synced, and refused on reading unless its check fits. */
export function stateAdapter(disk: Disk): StateAdapter {
  let loss: Loss | null = null;
  return {
    async read() {
      const found = await readState(disk);
      loss = typeof found === 'string' ? found : null;
      return typeof found === 'string' ? null : found;
    },
    write: async (identity) => disk.replace(STATE_FILE, new TextEncoder().encode(await formatState(identity))),
    loss: () => loss,
  };
}

/** The last start that was begun, or why there is none. */
export const readState = async (disk: Pick<Disk, 'read'>): Promise<Identity | Loss> =>
  parseState(await disk.read(STATE_FILE));

export async function formatState({ incarnation, start }: Identity): Promise<string> {
  return `${JSON.stringify({ incarnation, start, check: await checkOf(incarnation, start) })}\n`;
}

/** Believes a state only when its check fits: a wrong start count would make two reports of one identity. */
export async function parseState(bytes: Uint8Array | null): Promise<Identity | Loss> {
  if (bytes === null) return 'missing';
  if (bytes.length === 0) return 'empty';
  const state = parseObject(bytes);
  if (state === null) return 'damaged';
  const { incarnation, start, check } = state;
  if (typeof incarnation !== 'string' || typeof start !== 'number' || typeof check !== 'string') return 'foreign';
  return check === (await checkOf(incarnation, start)) ? { incarnation, start } : 'damaged';
}

const checkOf = async (incarnation: string, start: number): Promise<string> =>
  (await sha256Base64url(`paddock-state ${incarnation} ${start}`)).slice(0, 22);

function parseObject(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return null;
  }
}
