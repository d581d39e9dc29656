import type { DesiredError } from '@paddock/shared/desired.ts';

const OUR_CODE = /^[a-z][a-z0-9_]{0,63}$/;
const FULL = new Set(['ENOSPC', 'EDQUOT']);
const MOST_DETAIL = 256;

/** What was thrown, as reports tell it: codes of ours as they are, and the system's as ours. */
export function errorOf(cause: unknown): DesiredError {
  const detail = (cause instanceof Error ? cause.message : String(cause)).slice(0, MOST_DETAIL);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (OUR_CODE.test(code)) return { code, detail };
  if (FULL.has(code)) return { code: 'update_no_space', detail };
  return { code: cause instanceof Error && 'syscall' in cause ? 'update_disk_failed' : 'update_failed', detail };
}
