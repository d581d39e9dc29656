import { pino } from 'pino';
import { assign, ASSIGNMENT_DEFAULTS, type NewAssignment } from '@paddock/cloud/rollouts/assign.ts';
import { ALL_CUSTOMERS, type Scope } from '@paddock/cloud/customers/scope.ts';
import { workRollouts } from '@paddock/cloud/rollouts/round.ts';
import { steer, type Verb } from '@paddock/cloud/rollouts/steer.ts';
import { listAssignedDevices, readAssignment } from '@paddock/cloud/rollouts/views.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import { UPDATE_STATES, type ReportedFirmware, type UpdateState } from '@paddock/shared/firmware.ts';
import type { Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { CollectedAudit } from './audit.ts';
import { addDevices, TestDevice } from './device.ts';
import { CountedMetrics, type TestIngest } from './ingest.ts';
import { makeTestKey } from './signing.ts';

export const MODEL = 'kiosk-9';
type Release = NonNullable<ReportedFirmware['running']>;

/** A release of the bundle `kiosk`; its digest says which. */
export const releaseOf = (counter: number, name = 'kiosk'): Release => ({
  name,
  version: `1.${counter - 1}.0`,
  counter,
  sha256: counter.toString(16).padStart(2, '0').repeat(32),
});

/** Puts releases into the database as if they had been published, past uploads and signatures. */
export async function addReleases(store: Store, releases: readonly Release[]): Promise<void> {
  await store.transaction(async (sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    for (const { name, version, counter, sha256 } of releases)
      await sql.query(
        `INSERT INTO releases (name, version, counter, sha256, models, manifest, index_sha256, files, bytes, bundle_bytes,
           uploaded_at, published_at) VALUES ($1, $2, $3, $4, $5, '{}', $4, 1, 1, 1, now(), now())`,
        [name, version, counter, sha256, [MODEL]],
      );
  });
}

export async function withdrawRelease(store: Store, { name, counter }: Release): Promise<void> {
  await store.transaction(async (sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    await sql.query('UPDATE releases SET withdrawn_at = now() WHERE (name, counter) = ($1, $2)', [name, counter]);
  });
}

/** Registers devices of the model that releases fit, and calls them online: of that others judge. */
export async function addKiosks(store: Store, ids: readonly string[], presence = 'online'): Promise<void> {
  const key = await makeTestKey();
  const keyed = await Promise.all(
    ids.map(async (deviceId, at) => ({ deviceId, key: at === 0 ? key : await makeTestKey() })),
  );
  await addDevices(store, keyed);
  await fit(store, ids, presence);
}

async function fit(store: Store, ids: readonly string[], presence: string): Promise<void> {
  await store.transaction(async (sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    await sql.query(
      `INSERT INTO models (model_id, manufacturer, name) VALUES ($1, 'M', 'Nine') ON CONFLICT DO NOTHING`,
      [MODEL],
    );
    await sql.query('UPDATE devices SET model_id = $2 WHERE device_id = ANY($1)', [ids, MODEL]);
    await sql.query(
      `INSERT INTO presence (device_id, state, since, revision)
       SELECT id, $2, now(), nextval('state_revision') FROM unnest($1::text[]) AS id`,
      [ids, presence],
    );
  });
}

/** The operator and the job, on one database. */
export class Operator {
  readonly audit = new CollectedAudit();
  readonly metrics = new CountedMetrics();
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  assign(release: Release, more: Partial<NewAssignment>, scope: Scope = ALL_CUSTOMERS): Promise<number> {
    const { name, counter } = release;
    const input = { ...ASSIGNMENT_DEFAULTS, standing: false, options: {}, targets: { filter: {} }, ...more };
    return this.#store.transaction((sql) => assign(sql, scope, 'token:test', { ...input, release: { name, counter } }));
  }

  steer(id: number, verb: Verb, scope: Scope = ALL_CUSTOMERS): Promise<void> {
    return this.#store.transaction((sql) => steer(sql, scope, 'token:test', id, verb));
  }

  /** One turn of the job. @param laterMs how much later it is by then */
  turn(laterMs = 0, store = this.#store): Promise<void> {
    const { audit, metrics } = this;
    return workRollouts({ audit, metrics, log: pino({ level: 'silent' }) }, store, wallMs(Date.now() + laterMs));
  }

  view(id: number) {
    return readAssignment(this.#store, ALL_CUSTOMERS, id);
  }

  /** Every device with its state, and its code where there is one. */
  async states(id: number): Promise<Record<string, string>> {
    const { items } = await listAssignedDevices(this.#store, ALL_CUSTOMERS, { assignmentId: id }, { limit: 500 });
    return Object.fromEntries(items.map(({ deviceId, state, code }) => [deviceId, code ? `${state} ${code}` : state]));
  }
}

/** A device that obeys desired state: its reports go through the real ingest. */
export class UpdatingDevice {
  readonly device: TestDevice;
  running: Release = releaseOf(1);
  #sequence = 0;
  #version = 0;

  private constructor(device: TestDevice) {
    this.device = device;
  }

  static async join(store: Store, cloud: TestIngest, deviceId: string): Promise<UpdatingDevice> {
    const device = await TestDevice.register(store, deviceId, cloud.cloudKey);
    await fit(store, [deviceId], 'online');
    const one = new UpdatingDevice(await device.connect(cloud));
    await one.report('idle');
    return one;
  }

  /** Waits until it shall run a release, and holds that. */
  async offered({ sha256 }: Release): Promise<void> {
    const wanted = (state: Record<string, unknown>): boolean =>
      (state['firmware'] as Release | undefined)?.sha256 === sha256;
    const { version } = await this.device.desires((one) => one.version > this.#version && wanted(one.state));
    this.#version = version;
  }

  /** Resolves when it is recorded. */
  async report(state: UpdateState, more: Partial<ReportedFirmware> = {}, fields: Partial<Report> = {}): Promise<void> {
    this.#sequence += 1;
    const nonce = `bm9uY2U${String(this.#sequence).padStart(8, '0')}`;
    const firmware = {
      status: UPDATE_STATES[state],
      state,
      slot: 'a',
      running: this.running,
      committed: true,
    } as const;
    await this.device.report({
      sequence: this.#sequence,
      uptimeMs: 60_000 + this.#sequence,
      ask: nonce,
      desired: { epoch: 0, version: this.#version },
      firmware: { ...firmware, ...more },
      ...fields,
    });
    await this.device.answer((answer) => answer.nonce === nonce);
  }

  /** Goes the whole way to a release, as an agent reports it. */
  async update(target: Release): Promise<void> {
    await this.offered(target);
    await this.report('downloading', { target, progressPercent: 41 });
    await this.report('trial', { target, running: target, committed: false, slot: 'b' });
    this.running = target;
    await this.report('committed', { slot: 'b' });
  }

  /** Tries a release that does not pass its health check. */
  async fail(target: Release): Promise<void> {
    await this.offered(target);
    await this.report('trial', { target, running: target, committed: false, slot: 'b' });
    const error = { code: 'health_probe_failed', detail: 'it ended with 1' };
    await this.report('rolled-back', { target, error, quarantined: [target.sha256] });
  }

  close(): Promise<void> {
    return this.device.close();
  }
}
