import { chargePointAt } from './charge-point.ts';
import { answerRequests, registerImage } from './meter.ts';
import { linesBetween, obey, panelLine, type Lamp } from './panel.ts';
import { openPty, type PtyMaster } from './pty.ts';

/** Often enough to see a pressed button. */
const TICK_MS = 100;
/** The panel repeats its line, changed or not, so that silence means a fault. */
const REPEAT_TICKS = 10;

export interface Hardware {
  /** What an agent opens as its serial ports. */
  readonly panelPath: string;
  readonly meterPath: string;
  close(): void;
}

/** Plugs a front panel and an energy meter into two pseudo-terminals; both show the same charge point. */
export function simulateHardware(now: () => number): Hardware {
  const [panel, meter] = [openPty(), openPty()];
  const stopPanel = runPanel(panel.master, now);
  runMeter(meter.master, now);
  return {
    panelPath: panel.path,
    meterPath: meter.path,
    close: () => {
      stopPanel();
      panel.master.close();
      meter.master.close();
    },
  };
}

function runPanel(line: PtyMaster, now: () => number): () => void {
  let state = chargePointAt(now());
  let ticks = 0;
  const send = (text: string): void => {
    // Nobody reads: a real line would lose the bytes too.
    if (line.waiting() === 0) line.write(`${text}\n`).catch(() => {});
  };
  let lamp: Lamp = { isOn: false };
  onLines(line, (command) => {
    const obeyed = obey(lamp, command);
    if (obeyed === null) return;
    lamp = obeyed.lamp;
    send(obeyed.answer);
  });
  send(panelLine(state));
  const timer = setInterval(() => {
    const next = chargePointAt(now());
    ticks += 1;
    const lines = linesBetween(state, next, ticks % REPEAT_TICKS === 0);
    if (lines.length > 0) send(lines.join('\n'));
    state = next;
  }, TICK_MS);
  return () => clearInterval(timer);
}

/** No command is longer than this. */
const COMMAND_CHARS = 64;

function onLines(line: PtyMaster, hear: (text: string) => void): void {
  let rest = '';
  line.onData((chunk) => {
    const lines = (rest + Buffer.from(chunk).toString()).split('\n');
    rest = (lines.pop() ?? '').slice(-COMMAND_CHARS);
    lines.forEach(hear);
  });
}

function runMeter(line: PtyMaster, now: () => number): void {
  let waiting = Buffer.alloc(0);
  line.onData((chunk) => {
    const { frames, rest } = answerRequests(Buffer.concat([waiting, chunk]), registerImage(chargePointAt(now())));
    // A request is short: what is still no request by then never becomes one.
    waiting = Buffer.from(rest.subarray(-16));
    for (const frame of frames) line.write(frame).catch(() => {});
  });
}
