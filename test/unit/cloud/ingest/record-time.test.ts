import { intervalColumns } from '@paddock/cloud/ingest/record-time.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { expect, it } from 'vitest';

const basis = 'extrapolated' as const;

it('writes intervals in whole ms, never narrower than they are', () => {
  const [earliest, latest] = [wallMs(1_795_464_000_000.7), wallMs(1_795_464_000_010.2)];
  expect(intervalColumns({ earliest, latest, estimate: latest, basis })).toEqual({
    earliest: '2026-11-23T20:00:00.000Z',
    latest: '2026-11-23T20:00:00.011Z',
    basis,
  });
});

it('writes what lies beyond every calendar, as an absurd uptime does, so that the database takes it', () => {
  const [earliest, latest] = [wallMs(-9e15), wallMs(9e15)];
  expect(intervalColumns({ earliest, latest, estimate: latest, basis })).toEqual({
    earliest: null,
    latest: '9999-12-31T23:59:59.999Z',
    basis,
  });
  expect(intervalColumns({ earliest: latest, latest, estimate: latest, basis }).earliest).toBe(
    '9999-12-31T23:59:59.999Z',
  );
});
