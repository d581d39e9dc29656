import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let server: EnrolServer;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
  http = await startHttp(database.store);
});
afterAll(async () => {
  await server.close();
  await http.close();
  await database.drop();
});

type Event = Readonly<Record<string, unknown>>;

const thumbprintOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

async function importing(
  body: string | Uint8Array<ArrayBuffer>,
  type = 'text/csv',
  token = http.operator,
): Promise<Event[]> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': type };
  const answer = await fetch(`${http.url}/api/v1/factory-list/import`, { method: 'POST', headers, body });
  const lines = (await answer.text()).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Event);
}
const badIn = (events: readonly Event[]) =>
  events.filter(({ kind }) => kind === 'bad').map(({ line, code }) => [line, code]);

describe('a factory list', () => {
  test('is imported once, by CSV or JSON, and the same again changes nothing', async () => {
    const [one, two] = [await makeTestKey(), await makeTestKey('Ed25519')];
    const csv = `serialNumber,fingerprint\nFL-1,${one.verification.thumbprint}\n`;
    expect((await importing(csv)).at(-1)).toEqual({ kind: 'done', records: 1, added: 1, unchanged: 0, bad: 0 });
    expect((await importing(csv)).at(-1)).toEqual({ kind: 'done', records: 1, added: 0, unchanged: 1, bad: 0 });
    const json = JSON.stringify([{ serialNumber: 'FL-2', publicKey: two.publicJwk, name: 'Number two' }]);
    expect((await importing(json, 'application/json')).at(-1)).toMatchObject({ kind: 'done', added: 1 });
    const enrolled = await server.enrol(two, { serialNumber: 'FL-2' });
    expect(enrolled.status).toBe('accepted');
    const listed = await http.call('GET', '/api/v1/factory-list?serialNumber=FL-2');
    expect(listed.items).toMatchObject([{ deviceId: enrolled.device, name: 'Number two' }]);
  });

  test('lets nobody in with another serial number than its key is listed for', async () => {
    const key = await makeTestKey();
    await importing(`serialNumber,fingerprint\nFL-3,${key.verification.thumbprint}\n`);
    expect((await server.enrol(key, { serialNumber: 'FL-other' })).status).toBe('pending');
    expect((await server.enrol(await makeTestKey(), { serialNumber: 'FL-3' })).status).toBe('pending');
    expect((await server.enrol(key, { serialNumber: 'FL-3' })).status).toBe('accepted');
  });

  test('has every bad line told, with its number and code, and takes the good ones', async () => {
    const key = await makeTestKey();
    const other = thumbprintOf('another key');
    const rows = [
      'serialNumber,fingerprint,publicKey,model,site,name',
      `FL-10,${thumbprintOf('10')},,,,`,
      `FL-10,${thumbprintOf('11')},,,,`,
      `FL-11,${thumbprintOf('10')},,,,`,
      `FL-1,${other},,,,`,
      'FL-12,,,,,',
      'FL-13,short,,,,',
      `FL-14,${other},"${JSON.stringify(key.publicJwk).replaceAll('"', '""')}",,,`,
      `FL-15,,"${JSON.stringify(key.privateJwk).replaceAll('"', '""')}",,,`,
      `FL-16,${thumbprintOf('16')},,no-model,,`,
      `FL-17,${thumbprintOf('17')},,,no-site,`,
      `#,${thumbprintOf('18')},,,,`,
      `FL-19,${thumbprintOf('19')},,,,Last`,
    ];
    const events = await importing(`\u{feff}${rows.join('\r\n')}`);
    expect(badIn(events)).toEqual([
      [3, 'serial_number_twice'],
      [4, 'key_twice'],
      [5, 'serial_number_listed'],
      [6, 'key_missing'],
      [7, 'fingerprint_invalid'],
      [8, 'fingerprint_mismatch'],
      [9, 'key_private'],
      [10, 'model_unknown'],
      [11, 'site_unknown'],
      [12, 'serial_number_invalid'],
    ]);
    expect(events.at(-1)).toEqual({ kind: 'done', records: 12, added: 2, unchanged: 0, bad: 10 });
  });

  test('that is not text, or has other columns, is refused as a whole', async () => {
    expect((await importing(new Uint8Array([0xff, 0xfe, 0x41]))).at(-1)).toMatchObject({
      kind: 'failed',
      code: 'text_not_utf8',
    });
    expect((await importing('serial,key\nA1,b\n')).at(-1)).toMatchObject({ kind: 'failed', code: 'header_invalid' });
    expect((await importing('{}', 'text/plain')).at(-1)).toMatchObject({ code: 'media_type_unsupported' });
  });

  test('is its customer’s: another neither sees nor removes it', async () => {
    const [mine, theirs] = [await http.tokenOf('maker'), await http.tokenOf('taker')];
    await importing(`serialNumber,fingerprint\nFL-20,${thumbprintOf('20')}\n`, 'text/csv', mine);
    const path = `/api/v1/factory-list/${thumbprintOf('20')}`;
    expect((await http.call('GET', '/api/v1/factory-list', { token: theirs })).items).toEqual([]);
    expect((await http.call('DELETE', path, { token: theirs })).body['code']).toBe('entry_unknown');
    expect((await http.call('DELETE', path, { token: mine })).body['serialNumber']).toBe('FL-20');
  });

  test('of 100,000 lines is read with progress, every tenth line bad', async () => {
    const lines = Array.from({ length: 100_000 }, (_, n) =>
      n % 10 === 0 ? `BIG-${n},none` : `BIG-${n},${thumbprintOf(`big ${n}`)}`,
    );
    const events = await importing(`serialNumber,fingerprint\n${lines.join('\n')}\n`);
    expect(events.at(-1)).toEqual({ kind: 'done', records: 100_000, added: 90_000, unchanged: 0, bad: 10_000 });
    expect(events.filter(({ kind }) => kind === 'progress')).toHaveLength(200);
  }, 120_000);
});
