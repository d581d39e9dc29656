import type { Desired, DesiredError } from '@paddock/shared/desired.ts';
import { codeOf } from '../report/log.ts';
import type { DESIRED_KEY_ERRORS } from './codes.ts';
import type { DesiredHandler } from './handler.ts';

export type Handlers = Readonly<Record<string, DesiredHandler>>;
/** Keys that are not applied. */
export type KeyErrors = Readonly<Record<string, DesiredError>>;

const MAX_DETAIL = 256;

/** Hands every key to its handler, and tells handlers whose key is not there. One that fails spoils no other. */
export async function applyState(state: Desired['state'], handlers: Handlers): Promise<KeyErrors> {
  const results = Object.entries(handlers).map(async ([key, handler]): Promise<[string, DesiredError | null]> => {
    const value = Object.hasOwn(state, key) ? state[key] : undefined;
    return [key, await handler.apply(value).catch(failed)];
  });
  const unknown = Object.keys(state)
    .filter((key) => !Object.hasOwn(handlers, key))
    .map((key): [string, DesiredError] => [key, errorOf('desired_key_unknown')]);
  const errors = [...(await Promise.all(results)), ...unknown].flatMap(([key, error]): [string, DesiredError][] =>
    error === null ? [] : [[key, plain(error)]],
  );
  return Object.fromEntries(errors.toSorted(byKey));
}

/** What does not hold now: handlers that say so know it better than they did when they applied. */
export function standingErrors(errors: KeyErrors, handlers: Handlers): KeyErrors {
  const now = Object.entries(handlers).flatMap(([key, handler]): [string, DesiredError][] => {
    const error = Object.hasOwn(errors, key) ? null : handler.standing?.();
    return error ? [[key, plain(error)]] : [];
  });
  return now.length === 0 ? errors : Object.fromEntries([...Object.entries(errors), ...now].toSorted(byKey));
}

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

export const errorOf = (code: keyof typeof DESIRED_KEY_ERRORS, detail?: string): DesiredError => ({
  code,
  ...(detail !== undefined && { detail }),
});

/** As reports say it: whatever was desired, its echo must not make a report that is refused. */
const plain = ({ code, detail }: DesiredError): DesiredError => ({
  code,
  ...(detail !== undefined && { detail: detail.slice(0, MAX_DETAIL).toWellFormed().replaceAll('\0', '\u{FFFD}') }),
});

const failed = (cause: unknown): DesiredError =>
  errorOf('desired_apply_failed', cause instanceof Error ? `${cause.message} (${codeOf(cause)})` : String(cause));
