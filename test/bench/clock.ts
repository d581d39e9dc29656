import { parseArgs } from 'node:util';
import type { Figures } from '../harness/world/figures.ts';
import { judgeWorld, type Judgement, type Verdict, type Violation } from '../harness/world/judge.ts';
import { WORLDS, type WorldName } from '../harness/world/worlds.ts';

/**
 * Reconciles simulated worlds, by the code that ingest, the views and replay run, and holds every interval against the
 * truth. Prints figures; fails when a truth lies outside its interval in a world that keeps the assumptions.
 */
const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    reports: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
  },
});

/** A month of one device, roughly. */
const REPORTS_PER_DEVICE = 8000;
/** What the other worlds are judged by, as a share of the ordinary one. */
const SMALLER = 0.1;

const round = (value: number | null, digits = 3): number | null =>
  value === null || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
/** Null where there is nothing, or where nothing bounds it. */
const quantile = (figures: Figures, share: number): number | null => round(figures.quantile(share), 1);
const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);
const insideOf = ({ moments, inside }: Judgement) => ({ moments, truthInside: share(inside, moments) });
const placedOf = (judgement: Judgement) => ({
  ...insideOf(judgement),
  medianWidthMs: quantile(judgement.widthMs, 0.5),
  p99WidthMs: quantile(judgement.widthMs, 0.99),
  largestWidthMs: quantile(judgement.widthMs, 1),
});
const errorOf = (figures: Figures) => ({ medianMs: quantile(figures, 0.5), p99Ms: quantile(figures, 0.99) });

function placements(verdict: Verdict) {
  const medianRttMs = quantile(verdict.roundTripMs, 0.5);
  const exchanged = placedOf(verdict.exchanged);
  return {
    exchanged: {
      ...exchanged,
      medianRttMs,
      widthToRtt: round((exchanged.medianWidthMs ?? NaN) / (medianRttMs ?? NaN)),
      bufferedForAnHourOrMore: placedOf(verdict.buffered),
    },
    changes: placedOf(verdict.changes),
    neverExchanged: Object.fromEntries([...verdict.neverExchanged].map(([basis, of]) => [basis, placedOf(of)])),
  };
}

function honest(verdict: Verdict) {
  const boots = [...verdict.boots.values()];
  return {
    reports: verdict.reports,
    repeats: verdict.repeats,
    timeRequests: verdict.timeRequests,
    devices: verdict.devices,
    boots: boots.length,
    exchangedBoots: boots.filter(({ isExchanged }) => isExchanged).length,
    falselyNoticedBoots: boots.filter(({ isNoticed }) => isNoticed).length,
    ...placements(verdict),
    error: {
      estimate: errorOf(verdict.errorMs.estimate),
      arrival: errorOf(verdict.errorMs.arrival),
      deviceClock: errorOf(verdict.errorMs.deviceClock),
    },
    microsecondsPerReport: {
      take: round(verdict.takingUs / verdict.reports, 1),
      place: round(verdict.placingUs / verdict.reports, 1),
    },
    faults: Object.fromEntries(verdict.faults),
  };
}

function breaking(verdict: Verdict) {
  const boots = [...verdict.boots.values()];
  const broken = boots.filter(({ isBroken }) => isBroken);
  const sound = boots.filter(({ isBroken }) => !isBroken);
  return {
    reports: verdict.reports,
    boots: boots.length,
    brokenBoots: broken.length,
    noticedShareOfBroken: share(broken.filter(({ isNoticed }) => isNoticed).length, broken.length),
    noticedShareOfSound: share(sound.filter(({ isNoticed }) => isNoticed).length, sound.length),
    falseIntervals: share(verdict.exchanged.moments - verdict.exchanged.inside, verdict.exchanged.moments),
    inBrokenBoots: placedOf(verdict.broken),
    inSoundBoots: placedOf(verdict.sound),
    changes: insideOf(verdict.changes),
    faults: Object.fromEntries(verdict.faults),
  };
}

function judged(name: WorldName, reports: number): Verdict {
  const devices = Math.max(12, Math.ceil(reports / REPORTS_PER_DEVICE));
  return judgeWorld(name, { seed: Number(flags.seed), devices, reports });
}

const result: Record<string, unknown> = { seed: Number(flags.seed) };
const violations: (Violation & { readonly world: WorldName })[] = [];
for (const [name, { honest: keeps, about }] of Object.entries(WORLDS) as [WorldName, (typeof WORLDS)[WorldName]][]) {
  const reports = Math.ceil(Number(flags.reports) * (name === 'ordinary' ? 1 : SMALLER));
  const verdict = judged(name, reports);
  result[name] = keeps ? honest(verdict) : breaking(verdict);
  if (keeps) violations.push(...verdict.violations.map((violation) => ({ world: name, ...violation })));
  if (!flags.json) console.log(`${name}: ${about}\n${JSON.stringify(result[name], null, 2)}`);
}
result['violations'] = violations;
if (flags.json) console.log(JSON.stringify(result));
else if (violations.length > 0) console.log(JSON.stringify({ violations }, null, 2));
if (violations.some(({ isClaim }) => !isClaim)) process.exitCode = 1;
