import type { QualityReason } from '@paddock/shared/report.ts';
import { BusError } from '../ports.ts';
import { GpioError, type GpioCode } from '../ports-gpio.ts';

/** Why an output is not what it shall be, besides what can be wrong with a GPIO line. */
export const OUTPUT_ERRORS = {
  output_unknown: 'This device has no such output',
  output_value_invalid: 'The value is not one that the output takes',
  output_lease_unsafe: 'The output has no safe level to go back to when the lease ends',
  output_port_gone: 'The port of the output is not open',
  output_no_answer: 'The hardware does not answer',
  output_refused: 'The hardware refuses',
  output_damaged: 'What the hardware answers is damaged, or makes no sense',
  output_mismatch: 'What is read back is not what was set',
} as const satisfies Record<string, string>;
export type OutputCode = keyof typeof OUTPUT_ERRORS | GpioCode;

/** What the reading of an output says then. */
export interface OutputFault {
  readonly code: OutputCode;
  readonly reason: QualityReason;
  readonly detail: string;
}

const ON_A_PORT = {
  unplugged: 'output_port_gone',
  'no-answer': 'output_no_answer',
  refused: 'output_refused',
  checksum: 'output_damaged',
  malformed: 'output_damaged',
} as const satisfies Record<BusError['code'], OutputCode>;

/** @throws what is none of these: a defect */
export function faultOf(cause: unknown): OutputFault {
  if (cause instanceof GpioError) return { code: cause.code, reason: cause.reason, detail: cause.message };
  if (!(cause instanceof BusError)) throw cause;
  const code = ON_A_PORT[cause.code];
  return { code, reason: cause.code, detail: `${OUTPUT_ERRORS[code]}: ${cause.message}` };
}

export const mismatch = (is: unknown, wanted: unknown): OutputFault => ({
  code: 'output_mismatch',
  reason: 'malformed',
  detail: `${OUTPUT_ERRORS.output_mismatch}: ${String(is)} instead of ${String(wanted)}`,
});
