import {
  UPDATE_STATES,
  type FirmwareStatus,
  type ReportedFirmware,
  type UpdateState,
} from '@paddock/shared/firmware.ts';
import type { InstallerStatus } from '../ports-firmware.ts';
import type { Versions } from '../tuf/tuf.ts';
import type { Journal } from './journal.ts';
import type { UpdateErrorCode } from './update-error.ts';

const MOST_QUARANTINED = 8;
const MOST_DETAIL = 256;

/** What reports say of updates. @param share of the download, or of writing the slot, 0 to 1; null: of neither */
export function reportedOf(
  { state, target, error, quarantined }: Pick<Journal, 'state' | 'target' | 'error' | 'quarantined'>,
  slots: InstallerStatus,
  versions: Versions | null,
  share: number | null,
): ReportedFirmware {
  const { running } = slots;
  const told = toldOf(slots, error);
  return {
    status: statusOf(state, error?.code),
    state,
    slot: running?.slot ?? null,
    running: running?.release ?? null,
    committed: running?.committed ?? false,
    ...(target && { target }),
    ...(share !== null && { progressPercent: Math.floor(share * 100) }),
    ...(told && { error: errorOf(told) }),
    ...(versions && { metadata: versions }),
    ...(quarantined.length > 0 && { quarantined: quarantined.slice(0, MOST_QUARANTINED).map(({ sha256 }) => sha256) }),
  };
}

const toldOf = ({ fault, lost }: InstallerStatus, error: Journal['error']): Journal['error'] =>
  fault ?? (lost === null ? error : lostError(lost, error));

/** What is wrong besides is said behind it. */
const lostError = (lost: string, error: Journal['error']): NonNullable<Journal['error']> => ({
  code: 'update_slot_lost' satisfies UpdateErrorCode,
  detail: [lost, ...(error ? [error.code, ...(error.detail === undefined ? [] : [error.detail])] : [])].join('; '),
});

const errorOf = ({ code, detail }: NonNullable<Journal['error']>): NonNullable<ReportedFirmware['error']> => ({
  code,
  ...(detail !== undefined && { detail: detail.slice(0, MOST_DETAIL) }),
});

/** What OCPP says of a failure more exactly than that there was one, by code. */
const FAILURES: readonly (readonly [RegExp, FirmwareStatus])[] = [
  [/^tuf_/, 'InvalidSignature'],
  [/^update_mismatch$/, 'InvalidSignature'],
  [/^install_(verification_failed|rauc_refused)$/, 'InstallVerificationFailed'],
  [/^(fetch|bundle|manifest|index|path|kind|mode|link|hash|size)_/, 'DownloadFailed'],
];

export function statusOf(state: UpdateState, error: string | undefined): FirmwareStatus {
  if (error === undefined) return UPDATE_STATES[state];
  if (state === 'downloading') return 'DownloadPaused';
  const [, status] = (state === 'failed' && FAILURES.find(([codes]) => codes.test(error))) || [];
  return status ?? UPDATE_STATES[state];
}
