import { seal } from '@paddock/shared/envelope.ts';
import type { Endorsement } from '@paddock/shared/enrolment.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import type { Disk, HeldKey, IdentityKeys, Signer } from '../ports.ts';

/** Asks the agent to change its identity key. Another process writes it, so it is a file of its own. */
export const KEY_CHANGE_FILE = 'key-change';

export const wantKeyChange = (disk: Disk): Promise<void> =>
  disk.replace(KEY_CHANGE_FILE, new TextEncoder().encode('wanted\n'));

export const isKeyChangeWanted = async (disk: Pick<Disk, 'read'>): Promise<boolean> =>
  (await disk.read(KEY_CHANGE_FILE, 1)) !== null;

/** The key that speaks for the device: the next one from its making on, for the cloud may have it any time from then on. */
export const speakingKey = (keys: Pick<IdentityKeys, 'current' | 'next'>): HeldKey => keys.next() ?? keys.current();

/** Signs with the key that speaks at that moment. */
export const speakingSigner = (keys: Pick<IdentityKeys, 'current' | 'next'>): Signer => ({
  get algorithm() {
    return speakingKey(keys).signer.algorithm;
  },
  get keyId() {
    return speakingKey(keys).signer.keyId;
  },
  sign: (bytes) => speakingKey(keys).signer.sign(bytes),
});

/**
 * What the current key says of the next one, for one request.
 * @returns null while no change is begun, or without an id to say it of
 */
export async function endorsementFor(
  keys: Pick<IdentityKeys, 'current' | 'next'>,
  device: string | null,
  nonce: string,
): Promise<string | null> {
  const next = keys.next();
  if (next === null || device === null) return null;
  const said: Endorsement = { v: PAYLOAD_VERSION, device, thumbprint: next.public.thumbprint, nonce };
  return seal('endorsement', said, keys.current().signer);
}

/** The cloud has taken the next key. The wish goes first: it is fulfilled, and must not be once more after a power cut. */
export async function finishKeyChange({
  disk,
  keys,
}: {
  readonly disk: Disk;
  readonly keys: IdentityKeys;
}): Promise<void> {
  await disk.remove(KEY_CHANGE_FILE);
  await keys.finish();
}
