import { until } from './fake-clock.ts';
import type { Received } from './fake-cloud.ts';
import type { SessionBench } from './session.ts';

/** What the device knows of the time now. */
export const trusted = ({ clock, time }: SessionBench) => time.at({ at: clock.monotonic(), segment: clock.segment() });

/** The truth, and how wide the interval is around it; null when it does not hold the truth. */
export function widthOf(bench: SessionBench): number | null {
  const { earliest, latest } = trusted(bench);
  const truth = bench.clock.truth();
  return latest !== null && earliest <= truth && truth <= latest ? latest - earliest : null;
}

/** Connects; the answer to the opening report comes after so much time. */
export async function exchanged(bench: SessionBench, tripMs = 40): Promise<Received> {
  bench.link.connect();
  const opening = await bench.next();
  await bench.clock.advance(tripMs);
  await answered(bench, opening);
  return opening;
}

export async function answered(bench: SessionBench, to: Received, change: Parameters<SessionBench['answer']>[1] = {}) {
  await bench.answer(to, change);
  await until(() => !bench.held.includes(to.report.sequence), 'it is covered');
}

/** A routine report after so long. */
export async function routine(bench: SessionBench, afterMs: number): Promise<Received> {
  await bench.clock.advance(afterMs - 5);
  bench.tick();
  await bench.clock.advance(5);
  return bench.next();
}
