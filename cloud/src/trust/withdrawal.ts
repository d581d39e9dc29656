import type { KeyList } from '@paddock/shared/enrolment.ts';
import type { Believed } from './key-list.ts';
import { KeyListError } from './key-lists.ts';
import { authorityId } from './standing.ts';

/**
 * What the next list leaves out, DER in base64url.
 * @param ids of authorities of the newest list, or their beginnings
 * @throws KeyListError `authority_unknown`, `authority_in_use`
 */
export function withdrawable(
  ids: readonly string[],
  { authorities }: Pick<KeyList, 'authorities'>,
  believed: Pick<Believed, 'authorities'>,
): string[] {
  return ids.map((id) => {
    const [der, second] = authorities.filter((one) => authorityId(Buffer.from(one, 'base64url')).startsWith(id));
    if (der === undefined || second !== undefined) throw new KeyListError('authority_unknown', id);
    if (believed.authorities.includes(der)) throw new KeyListError('authority_in_use', id);
    return der;
  });
}
