import type { WallMs } from '@paddock/shared/time.ts';
import { DAY_MS, expiryOf, ROLES, type RoleName } from '../tuf/formats.ts';
import type { Published } from '../tuf/online.ts';
import { OFFLINE_ROLES, type OfflineRole } from '../tuf/root.ts';

/** People need time to come together with their keys. */
const WARN_DAYS: Readonly<Record<OfflineRole, number>> = { root: 45, targets: 21 };

/** When what is published expires. */
export const expiries = (published: Published): [RoleName, WallMs][] =>
  ROLES.flatMap((role): [RoleName, WallMs][] => {
    const metadata = published[role];
    return metadata === null ? [] : [[role, expiryOf(metadata.signed)]];
  });

export function expiringSoon(
  published: Published,
  now: WallMs,
): { role: OfflineRole; version: number; expires: string }[] {
  return OFFLINE_ROLES.flatMap((role) => {
    const signed = published[role]?.signed;
    if (signed === undefined || expiryOf(signed) - now > WARN_DAYS[role] * DAY_MS) return [];
    return [{ role, version: signed.version, expires: signed.expires }];
  });
}
