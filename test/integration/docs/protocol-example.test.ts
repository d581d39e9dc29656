import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { digestOf, openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { parseReport } from '@paddock/shared/report.ts';
import { expect, it } from 'vitest';

const page = readFileSync(join(import.meta.dirname, '../../../docs/protocol.md'), 'utf8');
const example = page.split('```bash\n')[1]?.split('\n```')[0] ?? '';

/** What the example prints: a name and a value a line. */
function run(script: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'paddock-protocol-'));
  try {
    const output = execFileSync('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, encoding: 'utf8' });
    const lines = output.trim().split('\n');
    return Object.fromEntries(lines.map((line) => line.split(/ +/, 2) as [string, string]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it('the worked example of docs/protocol.md makes a report that is accepted', async () => {
  const { jwk = '', envelope: text = '', digest } = run(example);
  const envelope = parseEnvelope(text);
  const key = await importVerificationKey(JSON.parse(jwk));
  expect(envelope).toMatchObject({ kind: 'report', algorithm: 'ES256', keyId: key.keyId });
  expect(parseReport(await openEnvelope(envelope, key, inflater))).toMatchObject({ device: 'kiosk-0001', start: 1 });
  expect(await digestOf(envelope)).toBe(digest);
});
