import { NO_JOURNAL } from '@paddock/agent/update/journal.ts';
import { reportedOf, statusOf } from '@paddock/agent/update/reported.ts';
import { UPDATE_STATES, type UpdateState } from '@paddock/shared/firmware.ts';
import { expect, test } from 'vitest';

const NOTHING = { running: null, trial: null, other: null, lost: null };

test('every state is what OCPP calls it, while nothing is wrong', () => {
  for (const state of Object.keys(UPDATE_STATES) as UpdateState[])
    expect(reportedOf({ ...NO_JOURNAL, state }, NOTHING, null, null).status).toBe(UPDATE_STATES[state]);
});

test.each([
  ['failed', 'tuf_signature', 'InvalidSignature'],
  ['failed', 'tuf_target_unknown', 'InvalidSignature'],
  ['failed', 'update_mismatch', 'InvalidSignature'],
  ['failed', 'hash_mismatch', 'DownloadFailed'],
  ['failed', 'bundle_truncated', 'DownloadFailed'],
  ['failed', 'kind_refused', 'DownloadFailed'],
  ['failed', 'install_verification_failed', 'InstallVerificationFailed'],
  ['failed', 'install_no_space', 'InstallationFailed'],
  ['failed', 'update_quarantined', 'InstallationFailed'],
  ['rolled-back', 'update_probe_failed', 'InstallationFailed'],
  ['downloading', 'fetch_failed', 'DownloadPaused'],
  ['offered', 'tuf_time_unknown', 'DownloadScheduled'],
] as const)('%s for %s is %s', (state, code, status) => {
  expect(statusOf(state, code)).toBe(status);
  const reported = reportedOf({ ...NO_JOURNAL, state, error: { code } }, NOTHING, null, null);
  expect(reported).toMatchObject({ state, status, error: { code } });
});

test('progress is of the download alone, and never says more than is there', () => {
  expect(reportedOf(NO_JOURNAL, NOTHING, null, null)).not.toHaveProperty('progressPercent');
  expect(reportedOf(NO_JOURNAL, NOTHING, null, 0).progressPercent).toBe(0);
  expect(reportedOf(NO_JOURNAL, NOTHING, null, 0.999).progressPercent).toBe(99);
});
