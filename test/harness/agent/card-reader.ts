import { openPty } from '../pty.ts';

const TICK_MS = 50;
const SWIPE_CHANCE = 0.2;
const DOOR_CHANCE = 0.06;
const REPEAT_TICKS = 20;

/** Simulated hardware on a real pseudo-terminal: a door that opens and shuts, and cards that are swiped. */
export interface CardReader {
  /** What the agent opens as its serial port. */
  readonly path: string;
  /** Swipes so far; they are numbered from 1, and each one tells its number. */
  swipes(): number;
  swipe(): void;
  /** From now on the door stays as it is and nobody comes. */
  rest(): void;
  close(): void;
}

/** @param random draws when what happens */
export function plugInCardReader(random: () => number): CardReader {
  const { master, path } = openPty();
  let swipes = 0;
  let door = 'closed';
  let ticks = 0;
  const say = (line: object): void => void master.write(`${JSON.stringify(line)}\n`).catch(() => {});
  const swipe = (): void => {
    // Nobody reads, and the kernel has no room left: these swipes never happen, so that each number is written once.
    if (master.waiting() > 0) return;
    swipes += 1;
    say({ event: 'card-swipe', number: swipes });
  };
  const tick = (): void => {
    ticks += 1;
    if (random() < SWIPE_CHANCE) swipe();
    const turns = random() < DOOR_CHANCE;
    if (turns) door = door === 'open' ? 'closed' : 'open';
    if ((turns || ticks % REPEAT_TICKS === 0) && master.waiting() === 0) say({ door });
  };
  const timer = setInterval(tick, TICK_MS);
  return {
    path,
    swipes: () => swipes,
    swipe,
    rest: () => clearInterval(timer),
    close() {
      clearInterval(timer);
      master.close();
    },
  };
}
