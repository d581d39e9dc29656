import { CLOCK_FAULTS, type ClockFault } from './clock/evidence.ts';
import type { Replay, Taken } from './clock/replay.ts';
import { TRACE_PROBLEMS, type TraceLine, type TraceProblem } from './clock/replay-trace.ts';

/** So many of each code are told line by line; the rest is counted. */
const MOST_TOLD = 1000;
const TEXTS = { ...CLOCK_FAULTS, ...TRACE_PROBLEMS };

/** What is told about a trace, line by line and in sum. */
export class ReplayNotes {
  readonly #write: (text: string) => void;
  readonly #counts = new Map<ClockFault | TraceProblem, number>();
  readonly #told = new Map<ClockFault | TraceProblem, number>();
  readonly #faultsOfBoots = new Set<string>();
  readonly #seen = { reports: 0, repeats: 0, requests: 0, devices: 0, boots: 0 };
  #leftOut = 0;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Lines that say nothing of any clock. */
  get leftOut(): number {
    return this.#leftOut;
  }

  leaveOut(lineNumber: number, problem: TraceProblem, message: string = TEXTS[problem]): void {
    this.#leftOut += 1;
    this.#count(problem);
    this.#tell(lineNumber, problem, message);
  }

  note(lineNumber: number, line: TraceLine, { problem, isRepeat, faults }: Taken): void {
    this.#seen[line.kind === 'report' ? 'reports' : 'requests'] += 1;
    if (isRepeat) this.#seen.repeats += 1;
    const of = `${line.deviceId}, boot ${line.boot.id}`;
    if (problem) this.leaveOut(lineNumber, problem, `${TEXTS[problem]} (${of})`);
    for (const fault of faults) {
      this.#count(fault);
      // What is wrong with a clock is noticed again and again: once a boot is enough.
      if (this.#faultsOfBoots.has(`${of} ${fault}`)) continue;
      this.#faultsOfBoots.add(`${of} ${fault}`);
      this.#tell(lineNumber, fault, `${TEXTS[fault]} (${of})`);
    }
  }

  known({ deviceCount, bootCount }: Replay): void {
    this.#seen.devices = deviceCount;
    this.#seen.boots = bootCount;
  }

  summarize(): void {
    const { devices, boots, reports, repeats, requests } = this.#seen;
    const codes = [...this.#counts].map(([code, count]) => `${code} ${count}`);
    this.#write(
      `${devices} devices, ${boots} boots, ${reports} reports (${repeats} repeats), ${requests} requests for the time, ` +
        `${this.#leftOut} lines left out; ${codes.length === 0 ? 'nothing was wrong' : codes.join(', ')}\n`,
    );
  }

  #count(code: ClockFault | TraceProblem): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }

  #tell(lineNumber: number, code: ClockFault | TraceProblem, message: string): void {
    const told = (this.#told.get(code) ?? 0) + 1;
    this.#told.set(code, told);
    if (told <= MOST_TOLD) this.#write(`line ${lineNumber}: ${code}: ${message}\n`);
    if (told === MOST_TOLD) this.#write(`${code}: more of these are counted only\n`);
  }
}
