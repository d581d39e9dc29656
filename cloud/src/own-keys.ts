import type { KeyList } from '@paddock/shared/enrolment.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { loadFleetRoot, type OwnKey } from './adapters/data-dir.ts';
import type { Base } from './base.ts';
import { firmwareRoot } from './firmware/metadata-store.ts';
import type { AuditEntry } from './ports.ts';
import { nextKeyList, type Believed } from './trust/key-list.ts';
import { authorityId, SHOWN_DIGITS } from './trust/standing.ts';
import { addKeyList, KeyListError, newestKeyList, type StoredKeyList } from './trust/key-lists.ts';

type Parts = Pick<Base, 'audit' | 'store' | 'clock' | 'log' | 'onlineKey'>;

/** Whom devices should believe, as this service sees it: who signs answers, and who issues its certificates. */
export const believedBy =
  (
    { onlineKey }: Pick<Parts, 'onlineKey'>,
    authorities: () => { readonly needed: readonly Uint8Array[]; readonly beside: readonly Uint8Array[] },
    currentEpoch: number,
  ) =>
  (root: Believed['root'], epoch = 0): Believed => {
    const { needed, beside } = authorities();
    return {
      root,
      keys: [onlineKey.publicJwk],
      authorities: needed.map(base64url),
      beside: beside.map(base64url),
      epoch: Math.max(epoch, currentEpoch),
    };
  };

const base64url = (der: Uint8Array): string => Buffer.from(der).toString('base64url');

/**
 * Seals a new list of keys at the start, when the newest one does not name what this service signs with and the fleet
 * root is at hand. Where it was moved away, an operator is told to do that.
 */
export async function keepKeyList(
  parts: Parts,
  dataDir: string,
  believed: ReturnType<typeof believedBy>,
): Promise<void> {
  const { audit, store, clock, log } = parts;
  const newest = await newestKeyList(store);
  const root = await loadFleetRoot(dataDir, newest === null);
  const wanted = { ...believed(rootOf(newest, root)), firmwareRoot: await firmwareRoot(store) };
  const next = await nextKeyList(newest?.list ?? null, wanted, clock.wall());
  if (next === null) return;
  if (root === null || !(await isRootOf(root, newest))) {
    log.warn(
      { code: 'key_list_due' },
      'Devices do not know a key of this service: `paddock root sign` seals the next list',
    );
    return;
  }
  const sealed = await seal('keys', next, root.signing);
  const key = await importVerificationKey(root.publicJwk);
  try {
    await store.transaction((sql) => addKeyList(sql, sealed, key));
    log.info({ version: next.version }, 'A list of keys was sealed by the fleet root');
    void audit.add({ actor: 'service', action: 'addKeyList', result: 'done', detail: await toldOf(next) });
  } catch (cause) {
    // Another instance was quicker: what it left out of this one's keys comes with the next try.
    if (!(cause instanceof KeyListError) || cause.code !== 'key_list_out_of_step') throw cause;
    await keepKeyList(parts, dataDir, believed);
  }
}

/** Whom devices believe from then on. */
async function toldOf({
  version,
  epoch,
  keys,
  authorities,
  firmwareRoot: root,
}: KeyList): Promise<NonNullable<AuditEntry['detail']>> {
  const keyIds = await Promise.all(keys.map(async (jwk) => (await importVerificationKey(jwk)).keyId));
  const ids = authorities.map((der) => authorityId(Buffer.from(der, 'base64url')).slice(0, SHOWN_DIGITS));
  return { version, epoch, keys: keyIds.join(' '), authorities: ids.join(' '), firmwareRoot: root?.version ?? null };
}

function rootOf(newest: StoredKeyList | null, root: OwnKey | null): Believed['root'] {
  const jwk = newest?.list.root ?? root?.publicJwk;
  if (jwk === undefined) throw new Error('There is neither a fleet root nor a list that names one');
  return jwk;
}

const isRootOf = async (root: OwnKey, newest: StoredKeyList | null): Promise<boolean> =>
  newest === null || (await importVerificationKey(newest.list.root)).keyId === root.signing.keyId;
