import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import type { InstallerStatus, LauncherStatus } from '../ports-firmware.ts';

/** What holds at the moment of a decision; everything else is in the journal. */
export interface Facts {
  /** Null: nothing is desired. Undefined: nobody has said yet. */
  readonly desired: DesiredFirmware | null | undefined;
  readonly slots: InstallerStatus;
  /** Null when no launcher answers. */
  readonly launcher: Pick<LauncherStatus, 'sha256'> | null;
  /** The digest that desired state and metadata were found to agree on a short while ago. */
  readonly agreed: string | null;
  /** All of the target is here, as far as this start of the agent knows. */
  readonly isFetched: boolean;
  readonly isWindowOpen: boolean;
  /** Somebody holds the update lock, and desired state does not override it. */
  readonly isLocked: boolean;
  /** Something failed, and is not to be tried again yet. */
  readonly isPaused: boolean;
  /** The cloud answered since this phase began. */
  readonly isReached: boolean;
  /** For how long the watch has waited for that, in ms of running. */
  readonly watchedMs: number;
}

/** What is done next. Each may be interrupted anywhere, and is decided on again. */
export type Action =
  | 'look' // at desired state and metadata: do they agree?
  | 'download'
  | 'stage'
  | 'before' // the hook before the switch
  | 'activate' // the next start of the launcher is a trial
  | 'restart' // the launcher
  | 'after' // the hook behind the switch
  | 'judge'
  | 'mark good'
  | 'roll back'
  | 'try other'; // what ran before the last commit

/**
 * Writes a journal and decides again, does something, or rests until something happens, for so many ms at most. What is
 * written down of trouble is not tried again at once.
 */
export type Decision<J> =
  | { readonly kind: 'note'; readonly journal: J; readonly isTrouble?: true }
  | { readonly kind: 'do'; readonly action: Action }
  | { readonly kind: 'rest'; readonly ms: number | null };
