import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { AuditLog } from '@paddock/cloud/audit/log.ts';
import { createModel } from '@paddock/cloud/customers/models.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import type { AuditEntry, Sql } from '@paddock/cloud/ports.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { AttackedService, type AttackBench, type AttackedBroker } from '../harness/attacks/bench.ts';
import { embeddedBroker } from '../harness/attacks/embedded.ts';
import { mosquittoBroker } from '../harness/attacks/mosquitto.ts';
import { ATTACKS, type Attack, type Refusal } from '../harness/attacks/table.ts';
import { newAuthority } from '../harness/authority.ts';
import { makeCsr } from '../harness/csr.ts';
import { freshDatabase, type FreshDatabase } from '../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../harness/enrolment.ts';
import type { RawClient } from '../harness/raw-client.ts';
import { makeTestKey } from '../harness/signing.ts';

/** Another broker is another column: every attack is tried on each. */
const COLUMNS: readonly AttackedBroker[] = [embeddedBroker, mosquittoBroker];

let database: FreshDatabase;
let audit: AuditLog;
beforeAll(async () => {
  database = await freshDatabase();
  audit = new AuditLog({ sql: database.store, clock: systemClock, log: pino({ level: 'silent' }) });
}, 60_000);
afterAll(async () => {
  await audit.close();
  await database.drop();
});

const newest = async (sql: Sql): Promise<number> =>
  (await sql.query<{ seq: number }>('SELECT coalesce(max(seq), 0) AS seq FROM audit_log'))[0]?.seq ?? 0;
/** The audit log's own table, behind that row. */
const refusedSince = async (sql: Sql, seq: number): Promise<AuditEntry[]> =>
  (await sql.query<{ entry: string }>('SELECT entry FROM audit_log WHERE seq > $1 ORDER BY seq', [seq]))
    .map(({ entry }) => JSON.parse(entry) as AuditEntry)
    .filter(({ result }) => result === 'refused');

describe.each(COLUMNS.map((column) => [column.name, column] as const))('%s', (_name, column) => {
  let service: AttackedService;
  beforeAll(async () => {
    const [authority, stranger] = [await newAuthority(), await newAuthority()];
    service = await AttackedService.start(column, audit, { store: database.store, authority, stranger });
  }, 60_000);
  afterEach(() => service.endClients());
  afterAll(() => service.close());

  /** How the refusal shows on the wire, where the broker tells. */
  const REFUSED: Readonly<Record<Refusal, (client: RawClient) => Promise<unknown>>> = {
    closed: (client) => client.closed,
    async 'not let in'(client) {
      await client.closed;
      expect(client.packets).not.toContainEqual(expect.objectContaining({ cmd: 'connack', returnCode: 0 }));
    },
    async 'not granted'(client) {
      const answer = await client.next('suback');
      expect('granted' in answer && answer.granted.every((granted) => granted === 128)).toBe(true);
    },
    'not believed': (client) => client.next('puback'),
  };

  /** What the audit log has to say of it, as far as this broker lets it know. */
  function expectedOf({ entry, refusal }: Attack, { attacker }: AttackBench): Partial<AuditEntry> | null {
    if (!column.tells && refusal !== 'not believed') return null;
    const isKnown = column.tells && entry.actor === 'attacker';
    return {
      action: entry.action,
      code: entry.code,
      actor: isKnown ? `device:${attacker.deviceId}` : 'unknown',
      ...(entry.device && { deviceId: attacker.deviceId }),
      ...(column.tells && { address: '127.0.0.1' }),
    };
  }

  /** What the broker has to say of it in its own log, when it is the only one who knows. */
  async function expectLine({ entry, refusal }: Attack, { attacker, dial }: AttackBench, from: number): Promise<void> {
    if (column.lineOf === undefined || refusal === 'not believed') return;
    const line = column.lineOf(entry, attacker.deviceId);
    const knocking = async (): Promise<string> => {
      // It learns of what was taken back a moment later: then it refuses whoever comes again.
      if (/revoked|retired/.test(entry.code)) void dial(attacker.pair).hello(attacker.deviceId);
      return service.said().slice(from);
    };
    await expect.poll(knocking, { timeout: 20_000, interval: 200 }).toMatch(line);
  }

  const attacks = ATTACKS.map((attack) => [attack.what, attack] as const);
  test.each(attacks)('refuses %s, and the log says so', { timeout: 60_000 }, async (_what, attack) => {
    const bench = await service.bench();
    const before = await newest(database.store);
    const recorded = bench.cloud.metrics.of('paddock_reports_recorded_total');
    const from = service.said().length;
    const client = await attack.run(bench);
    if (column.tells) await REFUSED[attack.refusal](client);
    const expected = expectedOf(attack, bench);
    if (expected !== null)
      await expect
        .poll(() => refusedSince(database.store, before), { timeout: 10_000 })
        .toContainEqual(expect.objectContaining(expected));
    await expectLine(attack, bench, from);
    // It changed nothing: nobody was pushed off or deceived, and nothing was overheard or recorded.
    expect(await service.heardBy(bench.victim)).toEqual(['genuine']);
    expect(client.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([]);
    expect(bench.cloud.metrics.of('paddock_reports_recorded_total')).toBe(recorded);
  });
});

describe('enrolment', () => {
  let server: EnrolServer;
  beforeAll(async () => {
    server = await startEnrolment(database.store, { audit });
    await database.store.transaction(async (sql) => {
      for (const modelId of ['cp-22', 'tm-7'])
        await createModel(sql, ALL_CUSTOMERS, 'test', { modelId, manufacturer: 'Acme', name: modelId });
    });
  }, 60_000);
  afterAll(() => server.close());

  const hourMs = 3_600_000;
  const ask = async (fields: object): Promise<unknown> => (await server.ask(await makeTestKey(), fields)).code;
  const mint = async (batch: string, modelId: string | null = null) =>
    (await addTestBatch(database.store, batch, { modelId })).mint;
  const send = async (body: string): Promise<unknown> => (await server.call('POST', '/enrol/v1/requests', body)).code;

  /** @returns the attempt itself, when all that is genuine was done */
  type Prepare = () => Promise<() => Promise<unknown>>;
  const attempts: readonly (readonly [code: string, what: string, prepare: Prepare])[] = [
    [
      'claim_used',
      'a stolen claim that was used before',
      async () => {
        const claim = await mintClaim(await mint('stolen'), 'SN-1');
        await server.enrol(await makeTestKey(), { claim });
        return () => ask({ claim });
      },
    ],
    [
      'claim_expired',
      'a claim that has expired',
      async () => {
        const times = { now: wallMs(Date.now() - 2 * hourMs), lifeMs: hourMs };
        const claim = await (await mint('expired')).mint('SN-2', times);
        return () => ask({ claim });
      },
    ],
    [
      'claim_model_mismatch',
      'a claim for another model',
      async () => {
        const claim = await mintClaim(await mint('one-model', 'cp-22'), 'SN-3', 'tm-7');
        return () => ask({ claim });
      },
    ],
    [
      'nonce_unknown',
      'an enrolment that is replayed: the very same bytes twice',
      async () => {
        const [key, claim] = [await makeTestKey(), await mintClaim(await mint('replayed'), 'SN-4')];
        const request = { v: 1, jwk: key.publicJwk, nonce: await server.nonce(), csr: makeCsr().csr, claim };
        const bytes = await seal('enrolment', request, key.signing);
        expect(await send(bytes)).toBeUndefined();
        return () => send(bytes);
      },
    ],
    [
      'signature_invalid',
      'a request that another key signed than it names',
      async () => {
        const [key, other] = [await makeTestKey(), await makeTestKey()];
        const request = { v: 1, jwk: key.publicJwk, nonce: await server.nonce(), csr: makeCsr().csr };
        const forged = await seal('enrolment', request, { ...other.signing, keyId: key.signing.keyId });
        return () => send(forged);
      },
    ],
  ];
  const letIn = (): Promise<unknown[]> =>
    database.store.query(
      'SELECT (SELECT count(*) FROM devices) AS devices, count(*) AS certificates FROM certificates',
    );

  test.each(attempts)('refuses as %s %s, and the audit log says so', async (code, _what, prepare) => {
    const attempt = await prepare();
    const [before, certified] = [await newest(database.store), await letIn()];
    expect(await attempt()).toBe(code);
    const entry = { actor: 'unknown', action: 'enrol', code, address: '127.0.0.1' };
    await expect.poll(() => refusedSince(database.store, before)).toContainEqual(expect.objectContaining(entry));
    expect(await letIn()).toEqual(certified);
  });
});
