import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@paddock/agent/ports-firmware.ts';
import { openTuf } from '@paddock/agent/tuf/tuf.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { Updater } from 'tuf-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { codeThrown, TufDevice } from '../../../harness/tuf/client.ts';
import { makeKey } from '../../../harness/tuf/keys.ts';
import { delegate, ROLES, TufSimulator } from '../../../harness/tuf/simulator.ts';

/** tuf-js asks the machine's clock, so nothing may expire in the life of this test. */
const NEVER = '2999-01-01T00:00:00Z';
const LOG = { debug() {}, info() {}, warn() {}, error() {} };

async function serve({ files }: TufSimulator): Promise<string> {
  const server = createServer((request, response) => {
    const found = files.get((request.url ?? '').slice(1));
    response.writeHead(found ? 200 : 404).end(found);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Another client, over HTTP. */
async function otherClient(repository: TufSimulator): Promise<Updater> {
  const dir = await mkdtemp(join(tmpdir(), 'paddock-tuf-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'root.json'), repository.file('metadata/1.root.json'));
  const url = await serve(repository);
  const [metadataBaseUrl, targetBaseUrl] = [`${url}/metadata`, `${url}/targets`];
  return new Updater({ metadataDir: dir, targetDir: dir, metadataBaseUrl, targetBaseUrl });
}

function honest(kind: 'ed25519' | 'ecdsa'): TufSimulator {
  const repository = new TufSimulator(kind);
  for (const name of ROLES) repository.roles[name].expires = NEVER;
  repository.roles.root.keys.push(makeKey());
  repository.publishRoot();
  const partner = delegate('partner role', { paths: ['partner/*'] });
  partner.targets['partner/1.json'] = repository.addRelease('charger', 1) && repository.targets['charger/1.json'];
  repository.delegated.push(partner);
  repository.publish();
  return repository;
}

describe.each(['ed25519', 'ecdsa'] as const)('a repository with %s keys', (kind) => {
  it('is read by tuf-js as it is read here', async () => {
    const repository = honest(kind);
    const { sha256, bytes } = repository.addRelease('charger', 7);
    repository.publish();
    const [ours, theirs] = [new TufDevice(repository), await otherClient(repository)];
    expect(await ours.refresh()).toMatchObject({ root: 2 });
    await theirs.refresh();
    const found = await theirs.getTargetInfo('charger/7.json');
    expect(found?.hashes['sha256']).toBe(sha256);
    expect((await ours.manifestOf(sha256, 7)).bytes).toEqual(bytes);
    expect((await theirs.getTargetInfo('partner/1.json'))?.length).toBe(repository.file(fileOf(repository, 1)).length);
    const path = await theirs.downloadTarget(found ?? expect.fail('no target'));
    expect(new Uint8Array(readFileSync(path))).toEqual(bytes);
  });

  it.each(['targets', 'snapshot', 'timestamp'] as const)(
    'whose %s was signed by a stranger is refused by both',
    async (name) => {
      const repository = honest(kind);
      repository.hashes = false;
      const publish = {
        targets: 'publishTargets',
        snapshot: 'publishSnapshot',
        timestamp: 'publishTimestamp',
      } as const;
      for (const one of ['targets', 'snapshot', 'timestamp'] as const)
        repository[publish[one]](one === name ? [makeKey()] : repository.roles[one].keys);
      const theirs = await otherClient(repository);
      expect(await new TufDevice(repository).refusal()).toBe('tuf_signature');
      await expect(theirs.refresh()).rejects.toThrow();
    },
  );
});

const fileOf = (repository: TufSimulator, counter: number): string =>
  [...repository.files.keys()].find((path) => path.endsWith(`.${counter}.json`) && path.startsWith('targets/')) ?? '';

describe('a repository that others wrote', () => {
  const dir = join(import.meta.dirname, '../../../fixtures/tuf/tuf-on-ci');
  const digest = '45f337ee451b4c098d121d09cc224bacc7794503ac58a47a78cfe7ebefb7fab3';
  const paths = new Map([
    ...['1.root.json', 'timestamp.json', '2.snapshot.json', '1.targets.json', '2.delegatedrole.json'].map(
      (name) => [`metadata/${name}`, name] as const,
    ),
    [`targets/delegatedrole/${digest}.artifact`, 'artifact'] as const,
  ]);

  const open = (files: ReadonlyMap<string, string>) => {
    const repository: Repository = {
      async get(path) {
        const name = files.get(path);
        return name === undefined ? null : new Uint8Array(readFileSync(join(dir, name)));
      },
      async *part() {},
    };
    const earliest = wallMs(Date.UTC(2025, 1, 9));
    const firstRoot = () => ({ bytes: new Uint8Array(readFileSync(join(dir, '1.root.json'))) });
    return openTuf({
      disk: new MemoryDisk(),
      repository,
      firstRoot,
      time: () => ({ earliest, latest: earliest }),
      log: LOG,
    });
  };

  it('is read here, with its delegation', async () => {
    const tuf = await open(paths);
    const { signal } = new AbortController();
    expect(await tuf.refresh(signal)).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 1 });
    const found = await tuf.target('delegatedrole/artifact', 100, signal);
    expect(new TextDecoder().decode(found)).toBe('artifact for tuf-on-ci repository\n');
    expect(await codeThrown(tuf.target('elsewhere/artifact', 100, signal))).toBe('tuf_target_unknown');
  });

  it('is refused with one piece in place of another', async () => {
    const swapped = new Map([...paths, ['metadata/2.delegatedrole.json', '1.targets.json'] as const]);
    const tuf = await open(swapped);
    const { signal } = new AbortController();
    await tuf.refresh(signal);
    expect(await codeThrown(tuf.target('delegatedrole/artifact', 100, signal))).toBe('tuf_version_mismatch');
  });
});
