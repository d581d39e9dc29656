import type { Reading } from '@paddock/shared/report.ts';
import type { AgentConfig } from './config.ts';
import type { Finding } from './finding.ts';
import type { Clock, DuplexStream } from './ports.ts';
import { compilePattern, type LineFormat } from './sense/line-format.ts';
import { formatOf } from './sense/line-meaning.ts';
import { createLineSplitter } from './sense/lines.ts';
import type { SerialLinesConfig } from './sense/settings.ts';
import type { PortState } from './sense/sensors.ts';
import { createSensing } from './sensing.ts';

/** Lines that a port brought, and how many of them each pattern fits. */
export interface LineTally {
  lines: number;
  understood: number;
  readonly read: LineFormat;
  /** By pattern; empty for other formats. */
  readonly fits: Map<string, number>;
  /** One that nothing fits, to look at. */
  example: string | null;
}

/** Opens every port, listens for a while, and asks every unit on every bus. */
export async function checkPorts(config: AgentConfig, clock: Clock, listenMs: number): Promise<Finding[]> {
  const tallies = new Map<string, LineTally>();
  const sensors = createSensing(config, clock, (parts) => ({
    ...parts,
    openSerial: (line) => {
      const tally = newTally(line);
      tallies.set(line.path, tally);
      return tapped(parts.openSerial(line), line, tally);
    },
  }));
  sensors.open({ urgent() {}, event() {} });
  await clock.sleep(listenMs);
  const ports = sensors.ports();
  const readings = sensors.readings();
  await sensors.close();
  return [
    ...ports.map(judgePort),
    ...Object.entries(config.ports).flatMap(([name, port]) =>
      port.kind === 'serial-lines' ? judgeLines(name, port, tallies.get(port.path)) : [],
    ),
    ...Object.entries(readings).map(([name, reading]) => judgeReading(name, reading)),
  ];
}

export const newTally = (config: Pick<SerialLinesConfig, 'format' | 'patterns'>): LineTally => ({
  lines: 0,
  understood: 0,
  read: formatOf(config),
  fits: new Map((config.patterns ?? []).map((pattern) => [pattern, 0])),
  example: null,
});

/** Hears the bytes on their way to the sensors. */
function tapped(stream: DuplexStream, line: SerialLinesConfig, tally: LineTally): DuplexStream {
  const splitter = createLineSplitter({ delimiter: line.delimiter, maxBytes: line.maxLineBytes });
  const bytes = (chunk: Uint8Array): void => {
    for (const part of splitter.push(chunk)) countLine(tally, part.kind === 'line' ? part.text : null);
  };
  return {
    open: (events) =>
      stream.open({
        lost: (loss) => events.lost(loss),
        bytes(chunk, at) {
          bytes(chunk);
          events.bytes(chunk, at);
        },
      }),
    write: (sent) => stream.write(sent),
    close: () => stream.close(),
  };
}

/** @param text null for a line that was too long or no text */
export function countLine(tally: LineTally, text: string | null): void {
  tally.lines += 1;
  const fitting = text === null ? [] : [...tally.fits.keys()].filter((pattern) => compilePattern(pattern).test(text));
  for (const pattern of fitting) tally.fits.set(pattern, (tally.fits.get(pattern) ?? 0) + 1);
  const isUnderstood = tally.fits.size === 0 ? isRead(tally, text) : fitting.length > 0;
  if (isUnderstood) tally.understood += 1;
  else tally.example ??= text;
}

function isRead({ read }: LineTally, text: string | null): boolean {
  const fields = text === null ? null : read(text);
  return fields !== null && fields !== 'checksum';
}

export function judgePort({ name, state, detail, code, samples, faults }: PortState): Finding {
  const check = `port ${name}`;
  if (state === 'lost' || state === 'closed' || state === 'opening') {
    return {
      check,
      status: 'fail',
      code: code ?? 'port_unusable',
      message: detail ?? 'It does not open: check its path, its owner and what else uses it',
    };
  }
  if (state === 'silent')
    return {
      check,
      status: 'fail',
      code: 'port_silent',
      message: detail ?? 'It is open and says nothing: check baud rate and wiring',
    };
  const counted = Object.entries(faults).map(([reason, count]) => `${count} x ${reason}`);
  const message = `Open, ${samples} samples${counted.length > 0 ? `, ${counted.join(', ')}` : ''}`;
  return counted.length > 0
    ? { check, status: 'warn', code: 'port_faults', message }
    : { check, status: 'ok', message };
}

const FORMATS = { json: ' as JSON', nmea: ' as NMEA 0183' } as const;

export function judgeLines(
  name: string,
  { format }: Pick<SerialLinesConfig, 'format'>,
  tally: LineTally | undefined,
): Finding[] {
  const check = `lines of ${name}`;
  if (!tally || tally.lines === 0)
    return [
      {
        check,
        status: 'warn',
        code: 'no_lines',
        message: 'No whole line came: check delimiter and baud rate, or listen longer',
      },
    ];
  const message = `${tally.understood} of ${tally.lines} lines make sense${format === undefined ? '' : FORMATS[format]}`;
  const example = tally.example === null ? '' : `, such as not ${JSON.stringify(tally.example.slice(0, 80))}`;
  const whole: Finding =
    tally.understood === tally.lines
      ? { check, status: 'ok', message }
      : {
          check,
          status: tally.understood === 0 ? 'fail' : 'warn',
          code: 'lines_not_understood',
          message: message + example,
        };
  const unused = [...tally.fits].filter(([, count]) => count === 0);
  return [
    whole,
    ...unused.map(([pattern]): Finding => ({
      check,
      status: 'warn',
      code: 'pattern_unused',
      message: `No line fits ${pattern}`,
    })),
  ];
}

export function judgeReading(name: string, { value, unit, quality, reason }: Reading): Finding {
  const check = `sensor ${name}`;
  if (value === null || quality === 'bad')
    return { check, status: 'fail', code: reason ?? 'no-sample', message: `No value: ${reason ?? 'no sample'}` };
  const message = `${value}${unit === undefined ? '' : ` ${unit}`}`;
  return quality === 'suspect'
    ? { check, status: 'warn', code: reason ?? 'suspect', message: `${message} (${reason})` }
    : { check, status: 'ok', message };
}
