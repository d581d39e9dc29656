import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { openEnrolment, type Enrolment } from '@paddock/agent/enrol/enrolment.ts';
import { isKeyChangeWanted, KEY_CHANGE_FILE, speakingKey, wantKeyChange } from '@paddock/agent/enrol/key-change.ts';
import type { EnrolmentParts } from '@paddock/agent/enrol/parts.ts';
import type { Disk, IdentityKeys } from '@paddock/agent/ports.ts';
import { codeOf } from '@paddock/agent/report/log.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { KEY_FILE, keysOn } from '../../../harness/agent/enrolling.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { afterPowerCut, RecordingFiles, type Safeguard } from '../../../harness/agent/power-cut.ts';
import { RotationCloud } from '../../../harness/agent/rotation-cloud.ts';

const DIR = '/data';
const MINUTE = 60_000;

/** One start of the agent's enrolment on a disk, and a cloud without a network. */
class Agent {
  readonly clock = new FakeClock();
  readonly said: string[] = [];
  readonly codes: string[] = [];
  readonly keys: IdentityKeys;
  readonly stopping = new AbortController();
  enrolment!: Enrolment;

  private constructor(keys: IdentityKeys) {
    this.keys = keys;
  }

  static async start(disk: Disk, cloud: RotationCloud, change: Partial<EnrolmentParts> = {}): Promise<Agent> {
    const agent = new Agent(await keysOn(disk));
    const note = (fields: object): void => void ('code' in fields && agent.codes.push(String(fields.code)));
    agent.enrolment = await openEnrolment({
      clock: agent.clock,
      disk,
      log: { debug() {}, info: note, warn: note, error: note },
      inflater,
      pin: cloud.pin,
      time: { at: () => ({ earliest: cloud.now(), latest: null }), enrolled() {} },
      keys: agent.keys,
      facts: {},
      device: null,
      openWeb: () => cloud.web,
      random: () => 0.5,
      say: (what) => void agent.said.push(what),
      ...change,
    });
    return agent;
  }

  get thumbprint(): string {
    return speakingKey(this.keys).public.thumbprint;
  }

  join = (): Promise<string> => this.enrolment.join(this.stopping.signal);

  /** Runs what is due until it is over, or for an hour. */
  async keep(isOver: () => Promise<boolean>, isQuiet = true): Promise<void> {
    const quiet = async (work: () => Promise<unknown>): Promise<boolean> => isQuiet && (await work().then(() => true));
    const kept = this.enrolment.keep(this.stopping.signal, quiet);
    for (let step = 0; step < 120 && !(await isOver()); step += 1) {
      await this.clock.advance(MINUTE / 2);
      // Signatures are made on threads of their own.
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    this.stopping.abort();
    await kept;
  }
}

let cloud: RotationCloud;
beforeEach(async () => {
  cloud = await RotationCloud.open();
});

/** The device is let in, and wants another key. */
async function wanting(disk: Disk): Promise<Agent> {
  const agent = await Agent.start(disk, cloud);
  expect(await agent.join()).toBe('accepted');
  await wantKeyChange(disk);
  return agent;
}

const settled = (agent: Agent, disk: Disk) => async (): Promise<boolean> =>
  agent.keys.next() === null && !(await isKeyChangeWanted(disk));

describe('another identity key', () => {
  it('takes the place of the old one, which vouches for it once, and stays over a restart', async () => {
    const disk = new MemoryDisk();
    const agent = await wanting(disk);
    const before = agent.thumbprint;
    await agent.keep(settled(agent, disk));
    expect(agent.thumbprint).not.toBe(before);
    expect([cloud.good, cloud.revoked]).toEqual([agent.thumbprint, [before]]);
    expect(agent.said).toEqual(['enrolled', 'key changed']);
    expect([...disk.files.keys()].toSorted()).toEqual(['enrolment.json', KEY_FILE]);
    const again = await Agent.start(disk.copy(), cloud);
    expect([again.thumbprint, again.enrolment.standing()?.device]).toEqual([agent.thumbprint, cloud.device]);
    expect(again.codes).toEqual([]);
  });

  it('is not made while reports wait for their answers', async () => {
    const disk = new MemoryDisk();
    const agent = await wanting(disk);
    const before = agent.thumbprint;
    await agent.keep(async () => agent.codes.includes('key_change_waits'), false);
    expect([agent.thumbprint, await isKeyChangeWanted(disk)]).toEqual([before, true]);
  });

  it('is not made while the service cannot be reached', async () => {
    const disk = new MemoryDisk();
    const agent = await wanting(disk);
    const before = agent.thumbprint;
    cloud.isAway = true;
    await agent.keep(async () => agent.said.includes('waiting'));
    expect([agent.thumbprint, agent.keys.next()]).toEqual([before, null]);
  });

  it.each([
    ['request', false],
    ['answer', true],
  ])('signs from the request on, and goes on when the %s was lost', async (_what, arrives) => {
    const disk = new MemoryDisk();
    const agent = await wanting(disk);
    const before = agent.thumbprint;
    cloud.loses = arrives ? 'answer' : 'request';
    await agent.keep(async () => agent.said.includes('waiting'));
    expect(agent.thumbprint).not.toBe(before);
    expect(cloud.good === before).toBe(!arrives);
    const again = await Agent.start(disk.copy(), cloud);
    expect(again.thumbprint).toBe(agent.thumbprint);
    await again.keep(async () => again.keys.next() === null);
    expect([cloud.good, again.said]).toEqual([agent.thumbprint, ['key changed']]);
  });

  it('goes by a human when the old key was revoked before it could vouch', async () => {
    const disk = new MemoryDisk();
    const agent = await wanting(disk);
    cloud.revoke(agent.thumbprint);
    await agent.keep(async () => agent.said.includes('pending'));
    cloud.approve(agent.thumbprint);
    const again = await Agent.start(disk.copy(), cloud);
    await again.keep(async () => again.keys.next() === null);
    expect([cloud.good, again.enrolment.standing()?.device]).toEqual([agent.thumbprint, cloud.device]);
  });
});

/** A change of keys as its disk sees it: until it is over, or until the power is cut. */
async function changeOn(omitted: Safeguard | null): Promise<{ files: RecordingFiles; from: number }> {
  const files = new RecordingFiles(omitted);
  const disk = await openDisk(DIR, files);
  const agent = await wanting(disk);
  const from = files.changes.length;
  // What the cloud knew at each change of the disk.
  cloud.watch(() => files.changes.length);
  await agent.keep(settled(agent, disk));
  return { files, from };
}

/** @returns what is wrong with the device that starts on what is left, and with what it says then */
async function judge(left: ReadonlyMap<string, Uint8Array>, after: number): Promise<string[]> {
  const disk = new MemoryDisk();
  for (const [path, bytes] of left) disk.files.set(path.slice(DIR.length + 1), bytes);
  if (!disk.files.has(KEY_FILE)) return ['there is no identity key'];
  const world = cloud.asOf(after);
  const agent = await Agent.start(disk, world).catch(codeOf);
  if (typeof agent === 'string') return [`it does not start: ${agent}`];
  if (agent.enrolment.standing() === null) return ['it is not let in any more'];
  // What the old key signs is lost when the cloud has the new one.
  if (world.revoked.includes(agent.thumbprint)) return ['it signs with a key that is revoked'];
  const findings: string[] = [];
  await agent.keep(settled(agent, disk));
  if (world.good !== agent.thumbprint) findings.push('the cloud has another key');
  if (agent.keys.next() !== null || disk.files.has(KEY_CHANGE_FILE)) findings.push('it never ends');
  if (world.rotations > 1) findings.push('the key was changed twice');
  return findings;
}

async function findBroken(omitted: Safeguard | null, most: number): Promise<string[]> {
  const { files, from } = await changeOn(omitted);
  const broken: string[] = [];
  for (let count = from; count <= files.changes.length; count += 1)
    for (const left of afterPowerCut(files.changes, count)) {
      for (const finding of await judge(left, count)) broken.push(`cut ${count - from}: ${finding}`);
      if (broken.length >= most) return broken;
    }
  return broken;
}

describe('a power cut at any moment of a change of keys', () => {
  it('leaves a device that signs with a key that is believed, and goes on to the end once', async () => {
    expect(await findBroken(null, 5)).toEqual([]);
  });

  it('was tried at every step: the key beside, the record, the wish, the swap', async () => {
    const { files, from } = await changeOn(null);
    const kinds = files.changes.slice(from).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'rename')).toHaveLength(3);
    expect(kinds.filter((kind) => kind === 'unlink')).toHaveLength(2);
  });

  it.each(['sync of what replaces', 'rename over the old file', 'sync of the name that was replaced'] as const)(
    'shows when there is no %s',
    async (safeguard) => {
      expect(await findBroken(safeguard, 1)).not.toEqual([]);
    },
  );
});
