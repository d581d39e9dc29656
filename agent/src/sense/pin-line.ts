import { uptimeMs } from '@paddock/shared/time.ts';
import type { Clock, SensorSink } from '../ports.ts';
import { GpioError, type Edge, type GpioChip, type InputLine, type InputSettings } from '../ports-gpio.ts';
import { filterEdges, freshFilter, settledAt, type FilterState } from './edge-filter.ts';
import { asked, takeEdges, takeLevel, takeSettled, UNSEEN_PIN, type PinKind, type PinStep } from './pin.ts';
import type { PinSource } from './settings.ts';

/** A line of a chip, and what its sensor wants of it. */
export interface WantedPin {
  readonly source: PinSource;
  /** Its edges are counted, rather than its level told. */
  readonly counts: boolean;
}

export interface PinLineOptions extends WantedPin {
  readonly sensor: string;
  readonly clock: Clock;
  readonly sink: Pick<SensorSink, 'sample' | 'gap'>;
  /** Hears of an error that came with edges, so that nobody was there to throw it at. */
  readonly failed: (cause: unknown) => void;
}

/** Between two batches of edges: the kernel keeps a thousand of them meanwhile, and one wake-up takes them all. */
const REST_MS = 20;

interface Opened {
  readonly input: InputLine;
  readonly kind: PinKind;
  /** Whether edges come by themselves. */
  readonly wakes: boolean;
  readonly closing: AbortController;
}

/** Runs one line: asks for it, takes its edges when they come, and its level when it is told to look. */
export class PinLine {
  readonly #options: PinLineOptions;
  #opened: Opened | null = null;
  #wasOpen = false;
  #state = UNSEEN_PIN;
  #filter: FilterState = freshFilter(false);

  constructor(options: PinLineOptions) {
    this.#options = options;
  }

  /** Edges that the kernel had to throw away since the start. */
  get lost(): number {
    return this.#state.lost;
  }

  /** What is done in another way than usual; null when nothing is. */
  get makeshift(): string | null {
    if (this.#opened === null) return null;
    if (!this.#opened.wakes) return 'its chip tells no edges, so it is only looked at';
    return this.#opened.kind.filtered ? 'its driver does not debounce, so the agent does' : null;
  }

  /** Asks for the line if nobody did yet, and for its level. @throws GpioError */
  look(chip: GpioChip): void {
    const opened = this.#opened ?? this.#open(chip);
    const { input, kind, wakes } = opened;
    if (wakes) this.#drain(opened);
    const at = uptimeMs(this.#options.clock.monotonic() - this.#delayMs(kind));
    this.#step(takeLevel(kind, this.#state, input.level(), at, wakes));
  }

  close(): void {
    this.#opened?.closing.abort();
    this.#opened?.input.close();
    this.#opened = null;
  }

  #open(chip: GpioChip): Opened {
    const { source, counts, sensor, clock, sink } = this.#options;
    const asking = openInput(chip, source, counts, `paddock:${sensor}`);
    const opened = { ...asking, closing: new AbortController() };
    this.#opened = opened;
    this.#state = asked(this.#state);
    if (opened.kind.filtered) this.#filter = freshFilter(opened.input.level());
    // What happened while it was away nobody knows.
    if (this.#wasOpen) sink.gap(sensor, clock.monotonic());
    this.#wasOpen = true;
    if (opened.wakes) this.#await(opened);
    return opened;
  }

  #await(opened: Opened): void {
    opened.input.wake(() => void this.#work(opened));
  }

  /** Takes edges until there are none for a while. */
  async #work(opened: Opened): Promise<void> {
    const { clock, failed } = this.#options;
    const { signal } = opened.closing;
    try {
      while (!signal.aborted && this.#drain(opened)) await clock.sleep(this.#restMs(), signal);
      if (!signal.aborted) this.#await(opened);
    } catch (cause) {
      failed(cause);
    }
  }

  #restMs(): number {
    const due = settledAt(this.#filter, this.#options.source.debounceUs / 1000);
    return due === null ? REST_MS : Math.min(REST_MS, Math.max(1, Math.ceil(due - this.#options.clock.monotonic())));
  }

  /** @returns whether there is a reason to come back soon */
  #drain({ input, kind }: Opened): boolean {
    const edges = input.edges().map((edge) => this.#moved(edge, kind));
    this.#step(takeEdges(kind, this.#state, edges));
    if (!kind.filtered) return edges.length > 0;
    const periodMs = this.#options.source.debounceUs / 1000;
    const { state, settled } = filterEdges(this.#filter, edges, periodMs, this.#options.clock.monotonic());
    this.#filter = state;
    for (const edge of settled) this.#step(takeSettled(kind, this.#state, edge));
    return edges.length > 0 || state.pending !== null;
  }

  /** The kernel stamps a debounced edge when its level has stood for long enough: it began that much earlier. */
  #moved(edge: Edge, kind: PinKind): Edge {
    return { ...edge, at: uptimeMs(edge.at - this.#delayMs(kind)) };
  }

  #delayMs({ filtered }: PinKind): number {
    return filtered ? 0 : this.#options.source.debounceUs / 1000;
  }

  #step({ state, tellings }: PinStep): void {
    const { sensor, sink } = this.#options;
    this.#state = state;
    for (const told of tellings) {
      if (told.kind === 'gap') sink.gap(sensor, told.at);
      else sink.sample(sensor, told.value, told.at);
    }
  }
}

/** Asks for all that is wanted, then for less where the driver cannot do it. */
function openInput(chip: GpioChip, source: PinSource, counts: boolean, user: string): Omit<Opened, 'closing'> {
  const counted = counts ? (source.edge ?? 'rising') : null;
  const whole: InputSettings = { ...source, edges: counted ?? 'both' };
  const attempt = (settings: InputSettings, filtered: boolean): Omit<Opened, 'closing'> => ({
    input: chip.input(settings, user),
    kind: { counts: counted, filtered },
    wakes: settings.edges !== 'none',
  });
  try {
    return attempt(whole, false);
  } catch (cause) {
    if (refusedWith(cause, 'gpio_line_refused') && whole.debounceUs > 0)
      return attempt({ ...whole, edges: 'both', debounceUs: 0 }, true);
    // Without edges there is nothing to count.
    if (refusedWith(cause, 'gpio_no_edges') && !counts)
      return attempt({ ...whole, edges: 'none', debounceUs: 0 }, false);
    throw cause;
  }
}

const refusedWith = (cause: unknown, code: GpioError['code']): boolean =>
  cause instanceof GpioError && cause.code === code;
