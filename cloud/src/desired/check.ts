import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { DESIRED_KEY_PATTERN, DesiredAgent, DesiredFirmware, DesiredOutputs } from '@paddock/shared/desired.ts';
import { parsePayload } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { checkedTimeZone } from '../customers/attributes.ts';
import { FleetError } from '../customers/errors.ts';

/** What shall last on a device, by key. */
export type DesiredState = Readonly<Record<string, unknown>>;

const MAX_KEYS = 32;
/** As JSON. Base64url makes a third more of it, and an envelope holds 65,536 characters. */
const MAX_STATE_BYTES = 32_768;
const KEY = new RegExp(DESIRED_KEY_PATTERN);
/** Five fields, or six with seconds: what they mean is the device's to judge, which reports `schedule_invalid`. */
const CRON = /^\S+( +\S+){4,5}$/;

/** Keys whose values are known here; any other key holds whatever its device understands. */
const KNOWN: Readonly<Record<string, (value: unknown) => void>> = {
  firmware: checkerOf('firmware', DesiredFirmware, ({ window }) => {
    if (window !== undefined) checkedTimeZone(window.zone);
  }),
  agent: checkerOf('agent', DesiredAgent, ({ schedule }) => {
    if (schedule !== undefined && !CRON.test(schedule))
      throw new FleetError('desired_value_invalid', '/agent/schedule is no cron expression');
  }),
  // Which there are, and what they take, the device knows, which reports it of each.
  outputs: checkerOf('outputs', DesiredOutputs, () => undefined),
};

/**
 * One key as somebody wants to set it.
 * @throws FleetError `desired_key_invalid`, `desired_value_invalid`, `time_zone_invalid`
 */
export function checkKey(key: string, value: unknown): void {
  if (!KEY.test(key)) throw new FleetError('desired_key_invalid', JSON.stringify(key));
  if (value === undefined || value === null) throw new FleetError('desired_value_invalid', `/${key} has no value`);
  const check = Object.hasOwn(KNOWN, key) ? KNOWN[key] : undefined;
  check?.(value);
}

/**
 * The whole of it, as a device has to be able to read it.
 * @throws FleetError `desired_too_large`, `desired_value_invalid`
 */
export function checkState(state: DesiredState): void {
  const json = Buffer.from(JSON.stringify({ state }));
  if (Object.keys(state).length > MAX_KEYS) throw new FleetError('desired_too_large', `more than ${MAX_KEYS} keys`);
  if (json.length > MAX_STATE_BYTES) throw new FleetError('desired_too_large', `${json.length} bytes`);
  try {
    parsePayload(json);
  } catch (cause) {
    if (cause instanceof Refusal) throw new FleetError('desired_value_invalid', cause.message, { cause });
    throw cause;
  }
}

function checkerOf<S extends TSchema>(
  key: string,
  schema: S,
  meaning: (value: Static<S>) => void,
): (value: unknown) => void {
  const validator = Compile(schema);
  return (value) => {
    if (validator.Check(value)) return meaning(value);
    const [first] = validator.Errors(value);
    const where = `/${key}${first?.instancePath ?? ''}`;
    throw new FleetError('desired_value_invalid', `${where} ${first?.message ?? 'does not fit'}`);
  };
}
