import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import type { AuditEntry } from '../ports.ts';

/** What came from a stranger fills no table: texts are cut, and of the details so many are kept. */
const LONGEST = { name: 200, detail: 500, details: 20 } as const;

/** An entry as it is stored and hashed: JSON, members in this order, those without a value left out. */
export function entryText(entry: AuditEntry, at: WallMs, customerId: string | undefined): string {
  return JSON.stringify({
    at: toInstant(at),
    actor: clean(entry.actor),
    action: clean(entry.action),
    result: entry.result,
    code: cleanIf(entry.code),
    deviceId: cleanIf(entry.deviceId),
    customerId: cleanIf(entry.customerId ?? customerId),
    address: cleanIf(entry.address),
    requestId: cleanIf(entry.requestId),
    detail: entry.detail && detailOf(entry.detail),
  });
}

function detailOf(detail: NonNullable<AuditEntry['detail']>): Record<string, unknown> {
  const members = Object.entries(detail).slice(0, LONGEST.details);
  return Object.fromEntries(
    members.map(([name, value]) => [clean(name), typeof value === 'string' ? clean(value, LONGEST.detail) : value]),
  );
}

const cleanIf = (text: string | undefined): string | undefined => (text === undefined ? undefined : clean(text));

/** PostgreSQL's text holds no U+0000, JSON no half of a surrogate pair, and a terminal shall not be told what to do. */
const clean = (text: string, longest: number = LONGEST.name): string =>
  text
    .slice(0, longest)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, '\u{fffd}');
