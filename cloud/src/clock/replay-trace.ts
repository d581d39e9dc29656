import type { WallMs } from '@paddock/shared/time.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';

/** What one line of a trace can be worth: refused with one of these codes, and told, it touches no other line. */
export const TRACE_PROBLEMS = {
  line_malformed: 'The line is not JSON',
  line_too_long: 'The line is longer than any line of a trace',
  line_kind_unknown: 'The line is neither a report nor a request for the time',
  line_invalid: 'The line does not fit its schema',
  boot_conflict: 'The boot was counted otherwise before',
  identity_conflict: 'Another report of this boot had the same seq',
  uptime_backwards: 'The uptime contradicts the order of reports in this boot',
  change_negative: 'A reading changed after the report that tells of it',
} as const;
export type TraceProblem = keyof typeof TRACE_PROBLEMS;

/** A line that cannot be used, with its stable code. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
  readonly code: TraceProblem;

  constructor(code: TraceProblem, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? TRACE_PROBLEMS[code] : `${TRACE_PROBLEMS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** Days of Date's range: anything beyond is no instant. */
const LAST_INSTANT = 8_640_000_000_000_000;
const Instant = Type.Unsafe<WallMs>(Type.Number({ minimum: -LAST_INSTANT, maximum: LAST_INSTANT }));
/** Whole ms on the wire; a trace may keep fractions. */
const Uptime = Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const CloudError = Type.Optional(Type.Number({ minimum: 0, maximum: 86_400_000 }));
const Boot = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  /** Orders the boots of a device. */
  count: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
const DeviceId = Type.String({ minLength: 1, maxLength: 256 });

const ReportLine = Type.Object({
  kind: Type.Literal('report'),
  deviceId: DeviceId,
  boot: Boot,
  seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  uptimeMs: Uptime,
  wallMs: Type.Optional(Type.Union([Type.Null(), Instant])),
  receivedAt: Instant,
  exchanges: Type.Optional(
    Type.Array(
      Type.Object({
        requestUptimeMs: Uptime,
        cloudReceivedAt: Instant,
        cloudSentAt: Instant,
        responseUptimeMs: Uptime,
      }),
      { maxItems: 1024 },
    ),
  ),
  changes: Type.Optional(
    Type.Array(Type.Object({ name: Type.String({ minLength: 1, maxLength: 256 }), agoMs: Type.Number() }), {
      maxItems: 4096,
    }),
  ),
  cloudErrorMs: CloudError,
});
export type ReportLine = Static<typeof ReportLine>;

/** A device asked for the time: `requestUptimeMs` was no later than `receivedAt`. */
const TimeRequestLine = Type.Object({
  kind: Type.Literal('time-request'),
  deviceId: DeviceId,
  boot: Boot,
  requestUptimeMs: Uptime,
  receivedAt: Instant,
  cloudErrorMs: CloudError,
});
export type TimeRequestLine = Static<typeof TimeRequestLine>;
export type TraceLine = ReportLine | TimeRequestLine;

/** @throws TraceError `line_malformed`, `line_kind_unknown` or `line_invalid`. Unknown fields are ignored. */
export function parseTraceLine(text: string): TraceLine {
  const line = parseJson(text);
  const kind = typeof line === 'object' && line !== null && 'kind' in line ? line.kind : undefined;
  if (kind === 'report') return checked(reports(), line);
  if (kind === 'time-request') return checked(requests(), line);
  throw new TraceError('line_kind_unknown', `kind ${JSON.stringify(kind) ?? 'missing'}`.slice(0, 100));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TraceError('line_malformed', undefined, { cause });
  }
}

function checked<S extends Type.TSchema>(validator: Validator<S>, line: unknown): Static<S> {
  if (validator.Check(line)) return line;
  const [, [first]] = validator.Errors(line);
  throw new TraceError('line_invalid', first ? `${first.instancePath || '/'} ${first.message}` : undefined);
}

/** Compiled when the first line comes: importing this costs nothing. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
const reports = once(() => Compile(ReportLine));
const requests = once(() => Compile(TimeRequestLine));
