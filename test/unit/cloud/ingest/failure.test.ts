import { describe, expect, it } from 'vitest';
import { failureOf } from '@paddock/cloud/ingest/failure.ts';

const coded = (code: string) => Object.assign(new Error(code), { code });

describe('why a batch could not be recorded', () => {
  it.each([
    [coded('ECONNREFUSED'), 'passing'],
    [coded('57P01'), 'passing'], // admin_shutdown
    [coded('53100'), 'passing'], // disk_full
    [coded('40P01'), 'passing'], // deadlock_detected
    [new Error('Connection terminated unexpectedly'), 'passing'],
    [coded('22P05'), 'payload'], // untranslatable_character
    [coded('54001'), 'payload'], // statement_too_complex
    [new RangeError('Maximum call stack size exceeded'), 'payload'],
    [coded('23502'), 'ours'], // not_null_violation
    [coded('42P01'), 'ours'], // undefined_table
    [coded('key_unsupported'), 'ours'],
    [new TypeError('x is not a function'), 'ours'],
  ])('%s is %s', (cause, failure) => {
    expect(failureOf(cause)).toBe(failure);
  });
});
