import { setTimeout as sleep } from 'node:timers/promises';
import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { deviceKeyOf, newKeyPem } from '@paddock/agent/adapters/file-key.ts';
import { openKeyRing } from '@paddock/agent/adapters/file-key/ring.ts';
import { createWeb } from '@paddock/agent/adapters/https.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { addressOf, connectTls } from '@paddock/agent/adapters/tls.ts';
import { openEnrolment, type Enrolment, type Quiet } from '@paddock/agent/enrol/enrolment.ts';
import type { EnrolmentParts } from '@paddock/agent/enrol/parts.ts';
import { pinOfClaim } from '@paddock/agent/enrol/pin.ts';
import type { Disk, IdentityKeys } from '@paddock/agent/ports.ts';
import type { Log } from '@paddock/agent/report/log.ts';
import { openTimekeeper, type Timekeeper } from '@paddock/agent/report/timekeeper.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { FakeClock } from './fake-clock.ts';
import type { FakeEnrolment } from './fake-enrolment.ts';
import { MemoryDisk } from './memory-disk.ts';

const NETWORK = createSystemClock();
const BUILT_AT = wallMs(Date.UTC(2026, 10, 1));

export const KEY_FILE = 'identity.key.pem';

/** The identity key as the agent keeps it, on any disk; made where there is none. */
export async function keysOn(disk: Disk): Promise<IdentityKeys> {
  if ((await disk.read(KEY_FILE)) === null) await disk.replace(KEY_FILE, new TextEncoder().encode(newKeyPem()));
  const pem = new TextDecoder().decode((await disk.read(KEY_FILE)) ?? new Uint8Array());
  return openKeyRing(disk, KEY_FILE, await deviceKeyOf(KEY_FILE, pem));
}

/** A device that enrols: virtual time, real TLS. */
export class EnrolBench {
  readonly clock = new FakeClock();
  readonly said: string[] = [];
  readonly codes: string[] = [];
  readonly cloud: FakeEnrolment;
  readonly disk: MemoryDisk;
  /** The file that was put beside its configuration. */
  readonly claim: string;
  keys!: IdentityKeys;
  time!: Timekeeper;
  enrolment!: Enrolment;
  #stopping = new AbortController();

  private constructor(cloud: FakeEnrolment, disk: MemoryDisk, claim: string) {
    this.claim = claim;
    this.cloud = cloud;
    this.disk = disk;
    // The cloud lives in the same virtual time, and knows the true one.
    cloud.now = this.clock.truth;
  }

  static async open(
    cloud: FakeEnrolment,
    change: Partial<EnrolmentParts> = {},
    disk = new MemoryDisk(),
  ): Promise<EnrolBench> {
    const bench = new EnrolBench(cloud, disk, cloud.claim());
    await bench.#begin(change);
    return bench;
  }

  /** The next start of the same device, in a new boot: what is not on the disk is gone. */
  async restarted(change: Partial<EnrolmentParts> = {}): Promise<EnrolBench> {
    this.stop();
    const next = new EnrolBench(this.cloud, this.disk.copy(), this.claim);
    await next.#begin(change);
    return next;
  }

  async #begin(change: Partial<EnrolmentParts>): Promise<void> {
    const { clock, disk, cloud } = this;
    this.keys = await keysOn(disk);
    const note = (fields: object): void => void ('code' in fields && this.codes.push(String(fields.code)));
    const log: Log = { debug: () => {}, info: note, warn: note, error: note };
    this.time = await openTimekeeper(
      { clock, disk, log, wallClock: null },
      { incarnation: 'aaaaaaaaaaa', start: 1, bootId: 'boot', builtAt: BUILT_AT, stepOverMs: 1_000 },
    );
    this.enrolment = await openEnrolment({
      clock,
      disk,
      log,
      inflater,
      pin: await pinOfClaim(this.claim),
      time: this.time,
      keys: this.keys,
      facts: { hostname: 'kiosk' },
      device: null,
      // The network is real, and so is the patience with it.
      openWeb: (trust) =>
        createWeb(cloud.url, () => connectTls(addressOf(cloud.url, 443), trust, null, NETWORK), NETWORK),
      random: () => 0.5,
      say: (what) => void this.said.push(what),
      ...change,
    });
  }

  join(): Promise<string> {
    return this.enrolment.join(this.#stopping.signal);
  }

  /** @param quiet by default the cloud has every report */
  keep(quiet: Quiet = async (work) => work().then(() => true)): Promise<string> {
    return this.enrolment.keep(this.#stopping.signal, quiet);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Lets virtual time pass until that many requests have come in all. */
  async asked(times: number, stepMs: number): Promise<void> {
    for (let i = 0; i < 2_000 && this.cloud.requests.length < times; i += 1) {
      await this.clock.advance(stepMs);
      await sleep(20);
    }
    if (this.cloud.requests.length < times) throw new Error(`There were never ${times} requests`);
  }
}
