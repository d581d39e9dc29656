import { readDatabase } from './archive.ts';
import type { Evidence } from './judge.ts';
import { keptReports, ownRecord, toldStarts, type Kiosk } from './kiosk.ts';
import type { OwnEnd, Supervised } from './supervised.ts';
import type { World } from './world.ts';

/** What is judged besides the data. */
export interface Surroundings {
  readonly reportsSent: number;
  /** How agents and clouds ended when they were told to. */
  readonly goodbyes: readonly string[];
  /** Processes that were still there after that. */
  readonly leftBehind: readonly string[];
  /**
   * Ends without a kill, with the last words. A cloud may end so before it is ready, when its database was away:
   * it says why, and its supervisor starts it again.
   */
  readonly ownEnds: Readonly<Record<'agent' | 'cloud', readonly OwnEnd[]>>;
  readonly failedStarts: number;
  readonly peakMiB: Readonly<Record<'agent' | 'cloud', number>>;
  readonly logs: Readonly<Record<'agent' | 'cloud', readonly string[]>>;
}

/** Stops everything in order, and collects what there is to know. */
export async function collect(world: World): Promise<{ kiosks: Evidence[]; around: Surroundings }> {
  const ended = await world.stop();
  const kiosks = await world.database.read(async (sql) => {
    const all: Evidence[] = [];
    for (const kiosk of world.kiosks)
      all.push(await evidenceOf(kiosk, await readDatabase(sql, kiosk.device, kiosk.key)));
    return all;
  });
  const agents = world.kiosks.map(({ agent }) => agent);
  const clouds = world.clouds.map(({ process }) => process);
  const cloudEnds = clouds.flatMap(({ ownEnds }) => ownEnds);
  return {
    kiosks,
    around: {
      ...ended,
      reportsSent: world.kiosks.reduce((sum, { tap }) => sum + tap.reportsSent(), 0),
      ownEnds: {
        agent: agents.flatMap(({ ownEnds }) => ownEnds),
        cloud: cloudEnds.filter(({ wasReady }) => wasReady),
      },
      failedStarts: cloudEnds.filter(({ wasReady }) => !wasReady).length,
      peakMiB: { agent: peak(agents), cloud: peak(clouds) },
      logs: { agent: logsOf(agents), cloud: logsOf(clouds) },
    },
  };
}

async function evidenceOf(kiosk: Kiosk, database: Evidence['database']): Promise<Evidence> {
  const own = await ownRecord(kiosk.home, kiosk.device);
  return {
    device: kiosk.device,
    swipes: kiosk.reader.swipes(),
    kept: keptReports(kiosk.agent.logs, own.incarnation),
    told: await kiosk.tap.told(),
    database,
    own,
    agent: { starts: toldStarts(kiosk.agent.logs), lives: kiosk.agent.lives },
  };
}

const peak = (parts: readonly Supervised[]): number => Math.max(0, ...parts.map(({ peakMiB }) => peakMiB));
const logsOf = (parts: readonly Supervised[]): string[] => parts.flatMap(({ logs }) => logs);
