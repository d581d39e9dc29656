import { expect, it } from 'vitest';
import { Flood } from '@paddock/cloud/audit/flood.ts';
import type { AuditEntry } from '@paddock/cloud/ports.ts';

const LIMIT = { windowMs: 60_000, ofOne: 5, inAll: 200 };
const refused = (actor: string, more: Partial<AuditEntry> = {}): AuditEntry => ({
  actor,
  action: 'publish',
  result: 'refused',
  code: 'topic_foreign',
  ...more,
});
const admitted = (flood: Flood, entries: readonly AuditEntry[]): number =>
  entries.filter((entry) => flood.admits(entry)).length;
const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

it('lets no device hide another one, though they share an address', () => {
  const flood = new Flood(LIMIT);
  const address = '10.0.0.1';
  expect(
    admitted(
      flood,
      many(1_000, () => refused('device:kiosk-0001', { address })),
    ),
  ).toBe(5);
  expect(flood.admits(refused('device:kiosk-0002', { address }))).toBe(true);
});

it('bounds strangers by their address, whoever they say to be; where there is none, by that', () => {
  const flood = new Flood(LIMIT);
  const named = (address?: string) => (n: number) =>
    refused('unknown', { deviceId: `kiosk-${n}`, ...(address !== undefined && { address }) });
  expect(admitted(flood, many(100, named('10.0.0.1')))).toBe(5);
  expect(admitted(flood, many(100, named()))).toBe(100);
  expect(admitted(flood, many(1_000, named()))).toBeLessThanOrEqual(LIMIT.inAll - 105);
});

it('says in the count who it was, ten of them at most', () => {
  const flood = new Flood(LIMIT);
  admitted(
    flood,
    many(12, (n) => n).flatMap((n) => many(6, () => refused(`device:kiosk-${n}`, { address: '10.0.0.1' }))),
  );
  const [entry] = flood.endWindow();
  expect(entry?.detail).toMatchObject({ notWritten: 12, addresses: '10.0.0.1' });
  expect(String(entry?.detail?.['actors']).split(' ')).toEqual(many(10, (n) => `device:kiosk-${n}`));
});
