import { createTreeCalls } from './adapters/tree-calls.ts';
import type { Clock } from './ports.ts';
import { isAnother } from './start/choose-agent.ts';
import { releaseIn } from './slots/whole.ts';
import { agentThatRuns, recordsOf, releaseThatRuns } from './start/which.ts';

/** What paddock-start tells the agent that it becomes. */
export interface StartedAs {
  readonly PADDOCK_AGENT_SLOTS?: string | undefined;
  /** The release that it is of; empty for the package's own. */
  readonly PADDOCK_AGENT_RELEASE?: string | undefined;
  /** A release whose agent was put aside; empty: none. */
  readonly PADDOCK_AGENT_REFUSED?: string | undefined;
}

/** Whether this agent is still the one that should run. */
export interface OwnRelease {
  /** Looks, and has the agent end when it is not: it is started as the other one. */
  isOver(): boolean;
  /** Resolves when it is over, with the name and version of the release that runs now, or what there is to say of it. */
  readonly over: Promise<string>;
}

const LOOK_EVERY_MS = 15_000;

/** Null for an agent that was not started by paddock-start: nothing else would be started in its place. */
export function openOwnRelease(started: StartedAs, clock: Pick<Clock, 'sleep'>): OwnRelease | null {
  const { PADDOCK_AGENT_SLOTS: slots, PADDOCK_AGENT_RELEASE, PADDOCK_AGENT_REFUSED } = started;
  if (!slots) return null;
  const calls = createTreeCalls(slots);
  const [own, refused] = [PADDOCK_AGENT_RELEASE || null, PADDOCK_AGENT_REFUSED || null];
  const { promise: over, resolve: end } = Promise.withResolvers<string>();
  let known: string | null = null;
  let isSo = false;
  const isOver = (): boolean => {
    try {
      const records = recordsOf(calls);
      if (isSo || records === known) return isSo;
      known = records;
      isSo = isAnother(agentThatRuns(calls), own, refused);
      if (isSo) end(nameOf(calls));
      return isSo;
    } catch {
      // A disk that fails is no reason to become another one.
      return false;
    }
  };
  const look = async (): Promise<void> => {
    while (!isOver()) await clock.sleep(LOOK_EVERY_MS);
  };
  void look();
  return { isOver, over };
}

function nameOf(calls: ReturnType<typeof createTreeCalls>): string {
  try {
    const runs = releaseThatRuns(calls);
    const release = runs && releaseIn(calls, runs.slot);
    return release === null ? 'no release' : `${release.name} ${release.version}`;
  } catch {
    return 'a release that cannot be read';
  }
}
