import type { Began } from '@paddock/shared/began.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { DeviceLife } from '../clock/life.ts';
import type { ClockMoment } from './lives.ts';
import { timeView, type TimeView } from './placement.ts';

interface WhyView {
  readonly reason: string;
  /** What says so; the most telling first. */
  readonly basedOn: string[];
  readonly detail: string | null;
}

/** Why a start of an agent began: what became of the one before. */
export interface BeganView {
  readonly agent: WhyView;
  /** Why the machine was booted; null when it was not. */
  readonly machine: WhyView | null;
  /** For how long the start before ran; null when the device does not know. */
  readonly ranMs: number | null;
  /** The last sign of life of the start before. */
  readonly ended: TimeView | null;
  /** The crash report that tells more. */
  readonly crashId: string | null;
}

/** The moments at which starts before ended, to be placed. */
export const endsOf = (begans: readonly (Began | null)[]): ClockMoment[] =>
  begans.flatMap((began) =>
    began?.before
      ? [{ boot_id: began.before.boot.id, segment: began.before.segment ?? 0, uptime_ms: began.before.uptimeMs }]
      : [],
  );

/** @param arrivedBy when the first report of the start was here: the end before it was earlier */
export function beganView(began: Began | null, life: DeviceLife, arrivedBy: WallMs): BeganView | null {
  if (began === null) return null;
  const { agent, machine, before, crash } = began;
  return {
    agent: whyView(agent),
    machine: machine ? whyView(machine) : null,
    ranMs: before?.ranMs ?? null,
    ended: before
      ? timeView(
          life.place({
            bootId: before.boot.id,
            segment: before.segment ?? 0,
            uptimeMs: before.uptimeMs,
            arrivedBy,
          }),
        )
      : null,
    crashId: crash ?? null,
  };
}

const whyView = ({ reason, basedOn, detail }: Began['agent']): WhyView => ({
  reason,
  basedOn: [...basedOn],
  detail: detail ?? null,
});
