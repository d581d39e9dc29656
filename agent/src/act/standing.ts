import type { DesiredOutput, OutputStanding, ReportedOutput } from '@paddock/shared/desired.ts';
import type { OutputState } from './output.ts';
import type { OutputCode } from './codes.ts';
import type { OutputConfig, OutputValue } from './settings.ts';
import { takes } from './values.ts';
import type { Phase, Policy } from './when-away.ts';

/** What is desired of an output, once it is known that it takes that. */
export interface Wish {
  readonly value: OutputValue;
  readonly policy: Policy;
}
export type JudgedWish = { readonly wish: Wish } | { readonly code: OutputCode };

export function judgeWish(config: OutputConfig | undefined, desired: DesiredOutput): JudgedWish {
  if (config === undefined) return { code: 'output_unknown' };
  const { value, leaseSeconds } = typeof desired === 'object' ? desired : { value: desired };
  if (!takes(config, value)) return { code: 'output_value_invalid' };
  if (leaseSeconds === undefined) return { wish: { value, policy: policyOf(config) } };
  if (config.safe === undefined) return { code: 'output_lease_unsafe' };
  return { wish: { value, policy: { kind: 'lease', ms: leaseSeconds * 1000 } } };
}

const policyOf = ({ whenAway, awaySeconds = 0 }: OutputConfig): Policy =>
  whenAway === 'hold' ? { kind: 'hold' } : { kind: whenAway, ms: awaySeconds * 1000 };

export const valueOf = (desired: DesiredOutput): OutputValue => (typeof desired === 'object' ? desired.value : desired);

/** What a phase comes to when the hardware is as it shall be. */
const ARRIVED = { own: 'own', unproven: 'away', held: 'applied', away: 'away' } as const satisfies Record<
  Phase,
  OutputStanding
>;
export const DETAIL_CHARS = 96;

/** One output as reports tell it. */
export function reportedOf(
  { wanted, actual, fault }: OutputState,
  phase: Phase,
  desired: DesiredOutput | undefined,
  refused: OutputCode | null,
): ReportedOutput {
  const isThere = wanted === null || actual === wanted;
  const state: OutputStanding = fault || refused ? 'failed' : isThere ? ARRIVED[phase] : 'pending';
  const error = fault ?? (refused === null ? null : { code: refused, detail: undefined });
  return {
    state,
    ...(desired !== undefined && { desired: valueOf(desired) }),
    actual,
    ...(error && {
      error: { code: error.code, ...(error.detail !== undefined && { detail: error.detail.slice(0, DETAIL_CHARS) }) },
    }),
  };
}

export const unknownOutput = (desired: DesiredOutput): ReportedOutput => ({
  state: 'failed',
  desired: valueOf(desired),
  actual: null,
  error: { code: 'output_unknown' satisfies OutputCode },
});
