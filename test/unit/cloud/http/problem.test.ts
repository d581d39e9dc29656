import { describe, expect, test } from 'vitest';
import { FLEET_ERRORS, FleetError, type FleetErrorCode } from '@paddock/cloud/customers/errors.ts';
import { CursorError } from '@paddock/cloud/devices/cursor.ts';
import { editedVersion, etagOf } from '@paddock/cloud/http/etag.ts';
import { formatEventId, parseEventId } from '@paddock/cloud/http/event-id.ts';
import { HttpError, problemOf, PROBLEMS, type ProblemCode } from '@paddock/cloud/http/problem.ts';

const coded = (code: string) => Object.assign(new Error('what the library said'), { code });

describe('a problem', () => {
  test.each(Object.keys(PROBLEMS) as ProblemCode[])('keeps the code %s', (code) => {
    expect(problemOf(new HttpError(code))).toMatchObject({ code, status: PROBLEMS[code].status, type: 'about:blank' });
  });

  test.each(Object.keys(FLEET_ERRORS) as FleetErrorCode[])('of the fleet keeps the code %s', (code) => {
    const { status, code: told } = problemOf(new FleetError(code));
    expect(told).toBe(code);
    expect([400, 403, 404, 409, 412]).toContain(status);
  });

  test.each([
    ['FST_ERR_CTP_BODY_TOO_LARGE', 413, 'body_too_large'],
    ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415, 'media_type_unsupported'],
    ['ECONNREFUSED', 503, 'unavailable'],
    ['57P01', 503, 'unavailable'],
    ['53300', 503, 'unavailable'],
    ['ENOENT', 503, 'unavailable'],
    ['42601', 500, 'internal'],
  ])('is made of %s', (library, status, code) => {
    const problem = problemOf(coded(library));
    expect(problem).toMatchObject({ status, code });
    expect(JSON.stringify(problem)).not.toContain('what the library said');
  });

  test.each(['Connection terminated unexpectedly', 'timeout exceeded when trying to connect'])(
    'is made of the database that is away: %s',
    (message) => {
      expect(problemOf(new Error(message))).toMatchObject({ status: 503, code: 'unavailable' });
    },
  );

  test.each([['an error'], [null], [undefined], [new Error('secret')]])('says nothing of %s', (thrown) => {
    expect(problemOf(thrown)).toEqual({
      type: 'about:blank',
      title: PROBLEMS.internal.title,
      status: 500,
      code: 'internal',
    });
  });

  test('of a cursor is a bad request', () => {
    expect(problemOf(new CursorError('no'))).toMatchObject({ status: 400, code: 'cursor_invalid' });
  });
});

describe('an ETag', () => {
  test('comes back as the version', () => expect(editedVersion(etagOf(7))).toBe(7));
  test.each(['*', 'W/"7"', '"7", "8"', '7', '""', '"x"'])('%s is none to edit from', (tag) => {
    expect(() => editedVersion(tag)).toThrow(expect.objectContaining({ code: 'precondition_failed' }));
  });
  test('is needed', () => {
    expect(() => editedVersion(undefined)).toThrow(expect.objectContaining({ code: 'precondition_required' }));
  });
});

describe('an event id', () => {
  const id = { revision: 12, horizon: 4_294_967_301 };
  test('comes back', () => expect(parseEventId(formatEventId(id))).toEqual(id));
  test.each(['', '12', '12-', '-1-2', '12-13-14', 'a-b', `${'9'.repeat(16)}-1`])('%j is none', (text) => {
    expect(() => parseEventId(text)).toThrow(expect.objectContaining({ code: 'event_id_invalid' }));
  });
});
