import type { DesiredError } from '@paddock/shared/desired.ts';
import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import type { Repository } from '../ports-firmware.ts';
import { openTuf } from '../tuf/tuf.ts';
import { readJournal, type Journal } from './journal.ts';
import { openUpdateLock, type UpdateLock } from './lock.ts';
import { Machine, type MachineParts } from './machine.ts';
import type { UpdateParts } from './parts.ts';
import { reportedOf } from './reported.ts';
import { UpdateError } from './update-error.ts';

/** Updates of what the kiosk runs. */
export interface Updates {
  /** For the key `firmware` of desired state. @param value undefined: it is gone */
  readonly handler: { apply(value: unknown): Promise<DesiredError | null> };
  reported(): ReportedFirmware;
  /** @param changed hears of every change of state */
  watch(changed: () => void): void;
  /** The cloud has answered: it is reached under what runs. */
  cloudReached(): void;
  readonly lock: UpdateLock;
  /** Until the signal aborts. Whatever it is doing then goes on at the next start. */
  run(signal: AbortSignal): Promise<void>;
}

/** Reads what is on the disk, and does nothing yet. @throws what disk and installer throw */
export async function openUpdates(parts: UpdateParts): Promise<Updates> {
  const { clock, disk, log } = parts;
  const repository = createSwitch(parts, () => machine.wanted?.firmware?.repository ?? null);
  const time = (): ReturnType<UpdateParts['time']> => parts.time({ at: clock.monotonic(), segment: clock.segment() });
  const tuf = await openTuf({ disk, repository, time, firstRoot: parts.firstRoot, log });
  const lock = openUpdateLock(parts);
  const machine = await openMachine(parts, { tuf, repository, lock, time });
  return {
    handler: { apply: async (value) => machine.desire(value) },
    reported: () => reportedOf(machine.journal, machine.slots, tuf.versions(), machine.known.share),
    watch: (changed) => void machine.listeners.push(changed),
    cloudReached: () => machine.reached(),
    lock,
    run: (signal) => machine.run(signal),
  };
}

async function openMachine(parts: UpdateParts, own: MachineParts): Promise<Machine> {
  const { journal, found } = await readJournal(parts.disk);
  if (found === 'damaged' || found === 'foreign')
    parts.log.warn({ code: `update_journal_${found}` }, JOURNAL_LOSSES[found]);
  return new Machine(parts, own, begunAnew(journal), await parts.installer.status());
}

const JOURNAL_LOSSES = {
  damaged: 'The journal of updates is damaged: the slots say what is known',
  foreign: 'Another agent wrote the journal of updates: only its floors and its quarantine are understood',
} as const;

/** Another agent, or one with another configuration, may get further than the one that gave up. */
const begunAnew = (journal: Journal): Journal =>
  journal.state === 'failed' ? { ...journal, state: 'offered' } : journal;

/** The repository that desired state names, or the cloud's own. */
function createSwitch(parts: UpdateParts, desired: () => string | null): Repository {
  let opened: { readonly base: string; readonly repository: Repository } | null = null;
  const current = (): Repository => {
    const base = desired() ?? parts.ownRepository();
    if (base === null) throw new UpdateError('update_repository_unknown');
    if (opened?.base !== base) opened = { base, repository: parts.openRepository(base) };
    return opened.repository;
  };
  return {
    get: async (...of) => current().get(...of),
    part: (...of) => current().part(...of),
  };
}
