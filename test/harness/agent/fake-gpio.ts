import {
  GpioError,
  type ChipFacts,
  type Edge,
  type Gpio,
  type GpioChip,
  type GpioCode,
  type InputLine,
  type InputSettings,
  type OutputLine,
} from '@paddock/agent/ports-gpio.ts';
import { uptimeMs } from '@paddock/shared/time.ts';

/** What a kernel keeps at most. */
const KEPT_EDGES = 1024;

interface Asked {
  readonly settings: Pick<InputSettings, 'edges' | 'debounceUs'> | null;
  edges: Edge[];
  sequence: number;
  wake: (() => void) | null;
}

/** One GPIO chip under the hand of the test. Lines are called by their number as a text, or by any name. */
export class FakeGpio implements Gpio {
  /** What asking for a line comes to, by line: an error of that code. */
  readonly refused = new Map<number | string, GpioCode>();
  readonly levels = new Map<number | string, boolean>();
  readonly users = new Map<number | string, string>();
  isMissing = false;
  /** A descriptor cannot be given back. */
  closesBadly = false;
  canDebounce = true;
  tellsEdges = true;
  /** Nobody is woken, as while the event loop stands still. */
  isHeldBack = false;
  /** Hears of each question for a line. */
  hears: (line: number | string) => void = () => {};
  #asked = new Map<number | string, Asked>();

  chips(): ChipFacts[] {
    return [];
  }

  chip(chip: string): GpioChip {
    if (this.isMissing) throw new GpioError('gpio_chip_missing', chip);
    return {
      input: (settings, user) => this.#input(settings, user),
      output: ({ line }, level, user) => this.#output(line, level, user),
    };
  }

  /** The line is driven to another level, as the kernel would see it at that moment. */
  drive(line: number | string, level: boolean, at: number): void {
    this.levels.set(line, level);
    const asked = this.#asked.get(line);
    const wanted = asked?.settings?.edges ?? 'none';
    if (asked === undefined || wanted === 'none') return;
    if (wanted !== 'both' && (wanted === 'rising') !== level) return;
    asked.sequence = (asked.sequence + 1) >>> 0;
    asked.edges = [...asked.edges, { level, at: uptimeMs(at), sequence: asked.sequence }].slice(-KEPT_EDGES);
    if (this.isHeldBack || asked.wake === null) return;
    setImmediate(asked.wake);
    asked.wake = null;
  }

  /** The chip is pulled out; whoever holds a line of it hears that with the next call. */
  pull(): void {
    this.isMissing = true;
    this.#asked = new Map();
    this.users.clear();
  }

  #take(line: number | string, user: string): void {
    this.hears(line);
    if (this.isMissing) throw new GpioError('gpio_chip_missing', 'bench');
    const code = this.refused.get(line);
    if (code !== undefined) throw new GpioError(code, String(line));
    const holder = this.users.get(line);
    if (holder !== undefined) throw new GpioError('gpio_line_busy', `line ${line} is held by ${holder}`);
    this.users.set(line, user);
  }

  #input(settings: InputSettings, user: string): InputLine {
    const { line } = settings;
    if (settings.debounceUs > 0 && !this.canDebounce) throw new GpioError('gpio_line_refused', `line ${line} (EINVAL)`);
    if (settings.edges !== 'none' && !this.tellsEdges) throw new GpioError('gpio_no_edges', `line ${line} (ENXIO)`);
    this.#take(line, user);
    const asked: Asked = { settings, edges: [], sequence: 0, wake: null };
    this.#asked.set(line, asked);
    const there = (): void => this.#stillHas(line, asked);
    return {
      level: () => {
        there();
        return this.levels.get(line) ?? false;
      },
      edges: () => {
        there();
        return asked.edges.splice(0);
      },
      wake: (then) => {
        if (asked.edges.length > 0) setImmediate(then);
        else asked.wake = then;
      },
      close: () => this.#release(line, asked),
    };
  }

  #output(line: number | string, first: boolean, user: string): OutputLine {
    this.#take(line, user);
    const asked: Asked = { settings: null, edges: [], sequence: 0, wake: null };
    this.#asked.set(line, asked);
    this.levels.set(line, first);
    return {
      set: (level) => {
        this.#stillHas(line, asked);
        this.levels.set(line, level);
      },
      level: () => {
        this.#stillHas(line, asked);
        return this.levels.get(line) ?? false;
      },
      close: () => this.#release(line, asked),
    };
  }

  #stillHas(line: number | string, asked: Asked): void {
    if (this.#asked.get(line) !== asked) throw new GpioError('gpio_chip_gone', `line ${line} (ENODEV)`);
  }

  #release(line: number | string, asked: Asked): void {
    if (this.closesBadly) throw Object.assign(new Error('EIO: i/o error, close'), { code: 'EIO' });
    if (this.#asked.get(line) !== asked) return;
    this.#asked.delete(line);
    this.users.delete(line);
  }
}
