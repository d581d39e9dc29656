import { DesiredFirmware, type DesiredError } from '@paddock/shared/desired.ts';
import { Check } from 'typebox/value';
import { UpdateError } from './update-error.ts';
import { windowCheck, type WindowCheck } from './window.ts';

/** The key `firmware` of desired state, read. */
export interface Wanted {
  readonly firmware: DesiredFirmware | null;
  readonly isOpen: WindowCheck;
}

export const NOTHING: Wanted = { firmware: null, isOpen: () => true };

/** @param value undefined: nothing is desired @returns the error of the key when it cannot be applied */
export function readWanted(value: unknown): Wanted | DesiredError {
  if (value === undefined) return NOTHING;
  if (!Check(DesiredFirmware, value) || !isAddress(value.repository)) return { code: 'update_invalid' };
  try {
    return { firmware: value, isOpen: windowCheck(value.window) };
  } catch (cause) {
    if (cause instanceof UpdateError) return { code: cause.code, detail: cause.message };
    throw cause;
  }
}

const isAddress = (repository: string | undefined): boolean => repository === undefined || URL.canParse(repository);
