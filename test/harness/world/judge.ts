import { Replay, type PlacedLine, type Taken } from '@paddock/cloud/clock/replay.ts';
import type { ReportLine, TraceProblem } from '@paddock/cloud/clock/replay-trace.ts';
import { Figures } from './figures.ts';
import { HOUR } from './spans.ts';
import type { WorldLine } from './trace.ts';
import { worldLines, type WorldSize } from './world.ts';
import type { WorldName } from './worlds.ts';

/** A truth that lies outside its interval. */
export interface Violation {
  readonly what: string;
  /** Whether nothing but an honest wall clock stood for the interval. */
  readonly isClaim: boolean;
  readonly at: number;
  readonly placed: { readonly earliest: number | null; readonly latest: number };
  readonly line: ReportLine;
}

/** How well one kind of moments was placed. */
export class Judgement {
  moments = 0;
  inside = 0;
  readonly widthMs = new Figures();

  add(at: number, { earliest, latest }: Violation['placed']): boolean {
    const isInside = (earliest === null || earliest <= at) && at <= latest;
    this.moments += 1;
    if (isInside) this.inside += 1;
    this.widthMs.add(earliest === null ? Infinity : latest - earliest);
    return isInside;
  }
}

interface JudgedBoot {
  isExchanged: boolean;
  isBroken: boolean;
  isNoticed: boolean;
}

/** As many violations are kept with all their details. */
const MOST_KEPT = 20;

/** What reconciliation made of a world, held against the truth. */
export class Verdict {
  reports = 0;
  timeRequests = 0;
  repeats = 0;
  devices = 0;
  readonly boots = new Map<string, JudgedBoot>();
  /** Reports of boots with one exchange or more; and of those that arrived hours after their moment. */
  readonly exchanged = new Judgement();
  readonly buffered = new Judgement();
  readonly changes = new Judgement();
  /** Of the same, in boots in which an assumption was broken, and in the others. */
  readonly broken = new Judgement();
  readonly sound = new Judgement();
  /** Reports of boots without any exchange, by basis. */
  readonly neverExchanged = new Map<string, Judgement>();
  readonly roundTripMs = new Figures();
  /** How wrong it is to take one of these for the moment of a report, in ms. */
  readonly errorMs = { estimate: new Figures(), arrival: new Figures(), deviceClock: new Figures() };
  readonly faults = new Map<string, number>();
  readonly violations: Violation[] = [];
  /** Processor time that reconciliation took, the simulator's left out, in µs. */
  takingUs = 0;
  placingUs = 0;

  bootOf({ boot }: { readonly boot: { readonly id: string } }): JudgedBoot {
    const known = this.boots.get(boot.id);
    if (known) return known;
    const judged = { isExchanged: false, isBroken: false, isNoticed: false };
    this.boots.set(boot.id, judged);
    return judged;
  }
}

/** Lines that are made, then reconciled, together: so that the clock of the processor is asked rarely. */
const BATCH = 1000;

/**
 * Lets the code of replay place every report of a world, and compares it with the truth. The world is made twice,
 * which is cheaper than to remember it.
 */
export function judgeWorld(name: WorldName, size: WorldSize): Verdict {
  const verdict = new Verdict();
  const replay = new Replay(0);
  const problems: (TraceProblem | null)[] = [];
  const exchanges = new Set<string>();
  for (const batch of batches(worldLines(name, size))) {
    const began = process.cpuUsage();
    const taken = batch.map(({ line }) => replay.take(line));
    verdict.takingUs += elapsedUs(began);
    batch.forEach((line, n) => note(verdict, line, taken[n] ?? NOTHING, exchanges));
    for (const { problem } of taken) problems.push(problem);
  }
  verdict.devices = replay.deviceCount;
  let number = 0;
  for (const batch of batches(worldLines(name, size))) {
    const began = process.cpuUsage();
    const placed = batch.map(({ line }, n) =>
      line.kind === 'report' ? replay.place(line, { problem: problems[number + n] ?? null }) : null,
    );
    verdict.placingUs += elapsedUs(began);
    number += batch.length;
    batch.forEach((line, n) => judge(verdict, line, placed[n] ?? null));
  }
  return verdict;
}

const NOTHING: Taken = { problem: null, isRepeat: false, faults: [] };

function* batches(lines: Iterable<WorldLine>): Generator<WorldLine[], void> {
  let batch: WorldLine[] = [];
  for (const line of lines) {
    batch.push(line);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function elapsedUs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function note(
  verdict: Verdict,
  { line, broken }: WorldLine,
  { problem, isRepeat, faults }: Taken,
  exchanges: Set<string>,
): void {
  const boot = verdict.bootOf(line);
  const codes = problem ? [...faults, problem] : faults;
  for (const code of codes) verdict.faults.set(code, (verdict.faults.get(code) ?? 0) + 1);
  boot.isBroken ||= broken > 0;
  // A wall clock that is wrong breaks no assumption.
  boot.isNoticed ||= codes.some((code) => !code.startsWith('wall_'));
  if (isRepeat) verdict.repeats += 1;
  if (line.kind === 'time-request') verdict.timeRequests += 1;
  else verdict.reports += 1;
  if (line.kind === 'report') noteRoundTrips(verdict, line, exchanges);
}

/** Each exchange once, however often it was told. */
function noteRoundTrips(verdict: Verdict, line: ReportLine, known: Set<string>): void {
  const boot = verdict.bootOf(line);
  for (const exchange of line.exchanges ?? []) {
    boot.isExchanged = true;
    const key = `${line.boot.id} ${exchange.responseUptimeMs}`;
    if (known.has(key)) continue;
    known.add(key);
    const awayMs = exchange.responseUptimeMs - exchange.requestUptimeMs;
    verdict.roundTripMs.add(awayMs - (exchange.cloudSentAt - exchange.cloudReceivedAt));
  }
}

function judge(verdict: Verdict, { line, truth, arrivedAt }: WorldLine, placed: PlacedLine | null): void {
  if (line.kind !== 'report' || truth === null || placed === null) return;
  const boot = verdict.bootOf(line);
  const fail = (what: string, at: number, interval: Violation['placed']): void => {
    const isClaim = placed.basis === 'device-clock';
    if (verdict.violations.length < MOST_KEPT) verdict.violations.push({ what, isClaim, at, placed: interval, line });
  };
  if (!boot.isExchanged) {
    const judgement = verdict.neverExchanged.get(placed.basis) ?? new Judgement();
    verdict.neverExchanged.set(placed.basis, judgement);
    if (!judgement.add(truth.at, placed)) fail(`${placed.basis}, never exchanged`, truth.at, placed);
    return;
  }
  if (!verdict.exchanged.add(truth.at, placed)) fail(placed.basis, truth.at, placed);
  (boot.isBroken ? verdict.broken : verdict.sound).add(truth.at, placed);
  if (arrivedAt - truth.at > HOUR) verdict.buffered.add(truth.at, placed);
  for (const change of placed.changes) {
    const at = truth.changes[(line.changes ?? []).findIndex(({ name }) => name === change.name)];
    if (at !== undefined && !verdict.changes.add(at, change)) fail(`change of ${change.name}`, at, change);
  }
  verdict.errorMs.estimate.add(Math.abs(placed.estimate - truth.at));
  verdict.errorMs.arrival.add(Math.abs(line.receivedAt - truth.at));
  if (typeof line.wallMs === 'number') verdict.errorMs.deviceClock.add(Math.abs(line.wallMs - truth.at));
}
