import { describe, expect, it } from 'vitest';
import { plainError } from '@paddock/cloud/adapters/log.ts';

describe('an error in the log', () => {
  it('says what went wrong, with its code and cause, and nothing that hangs on it', () => {
    const cause = Object.assign(new Error('connection reset'), { client: { secretKey: 4711 } });
    const error = Object.assign(new Error('idle connection broke', { cause }), {
      code: '57P01',
      client: { secretKey: 4711 },
    });
    expect(plainError(error)).toMatchObject({
      type: 'Error',
      message: 'idle connection broke',
      code: '57P01',
      cause: { message: 'connection reset' },
    });
    expect(JSON.stringify(plainError(error))).not.toContain('4711');
  });

  it('takes anything that was thrown', () => {
    expect(plainError('no error at all')).toBe('no error at all');
  });
});
