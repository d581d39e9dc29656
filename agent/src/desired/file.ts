import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { Desired } from '@paddock/shared/desired.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';

/** What was taken up last: the floor, and what is applied again at each start. A line of JSON, and a check over it. */
export const DESIRED_FILE = 'desired';

const { incarnation, epoch, version, state } = Desired.properties;
const Shape = Type.Object({ incarnation, epoch, version, state });
export type TakenUp = Static<typeof Shape>;

export async function formatTakenUp(taken: TakenUp): Promise<Uint8Array> {
  const line = JSON.stringify({
    incarnation: taken.incarnation,
    epoch: taken.epoch,
    version: taken.version,
    state: taken.state,
  });
  return new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`);
}

/** Believes nothing but what was written by {@link formatTakenUp}, whole. */
export async function parseTakenUp(bytes: Uint8Array | null): Promise<TakenUp | 'missing' | 'damaged'> {
  if (bytes === null) return 'missing';
  const [line = '', check = ''] = new TextDecoder().decode(bytes).split('\n');
  if (line === '' || check !== (await checkOf(line))) return 'damaged';
  const value: unknown = JSON.parse(line);
  return Check(Shape, value) ? value : 'damaged';
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> =>
  (await sha256Base64url(`paddock-desired ${line}`)).slice(0, 22);
