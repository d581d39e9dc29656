import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Repository } from '@paddock/agent/ports-firmware.ts';
import { archivesIn } from '@paddock/cloud/adapters/archives.ts';
import { createPrometheus } from '@paddock/cloud/adapters/prometheus.ts';
import { repositoryFiles } from '@paddock/cloud/adapters/repository-files.ts';
import { openSpool } from '@paddock/cloud/adapters/spool-file.ts';
import { openStillFile } from '@paddock/cloud/adapters/still-file.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { buildBundle, withBundle } from '@paddock/cloud/bundle-run.ts';
import { Firmware, type FirmwareParts } from '@paddock/cloud/firmware/firmware.ts';
import type { OnlineSigners } from '@paddock/cloud/firmware/publish.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import type { RepositoryFiles } from '@paddock/cloud/ports-firmware.ts';
import type { Metadata } from '@paddock/cloud/tuf/formats.ts';
import type { OnlineRole } from '@paddock/cloud/tuf/online.ts';
import { newRoot, nextRoot, type RootChange } from '@paddock/cloud/tuf/root.ts';
import { signerOf, withSignature, type Signer } from '@paddock/cloud/tuf/signatures.ts';
import { nextTargets, type Offered, type TargetsChange } from '@paddock/cloud/tuf/targets.ts';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';

export const newSigner = (): Signer => signerOf(generateKeyPairSync('ed25519').privateKey);
const three = (): Signer[] => [newSigner(), newSigner(), newSigner()];

export interface TestFirmware {
  readonly firmware: Firmware;
  readonly files: RepositoryFiles;
  /** The data directory: `firmware/` and `bundles/` are in it. */
  readonly dataDir: string;
  readonly online: Record<OnlineRole, Signer[]>;
  /** How often devices were to be told of another root. */
  readonly told: { roots: number };
  /** When it is for the service, by the clock that all instances share. */
  now: WallMs;
  advance(days: number): void;
}

/** The operator's repository with real files, on a real database. */
export async function testFirmware(store: Store, parts: Partial<FirmwareParts> = {}): Promise<TestFirmware> {
  const dataDir = await mkdtemp(join(tmpdir(), 'paddock-firmware-'));
  const files = repositoryFiles(join(dataDir, 'firmware'));
  const online: TestFirmware['online'] = { snapshot: [newSigner()], timestamp: [newSigner()] };
  const all = async (): Promise<OnlineSigners> => online;
  const told = { roots: 0 };
  const made = { now: wallMs(Date.now()) };
  const firmware = new Firmware({
    store,
    clock: { ...systemClock, wall: () => made.now },
    log: pino({ level: 'silent' }),
    metrics: createPrometheus(),
    files,
    archives: archivesIn(join(dataDir, 'bundles'), openStillFile),
    openSpool: () => openSpool(tmpdir()),
    now: async () => made.now,
    keyring: {
      all,
      async add() {
        for (const role of ['snapshot', 'timestamp'] as const) online[role].push(newSigner());
        return online;
      },
    },
    rootInstalled: async () => void (told.roots += 1),
    ...parts,
  });
  return Object.assign(made, {
    firmware,
    files,
    dataDir,
    online,
    told,
    advance: (days: number) => void (made.now = wallMs(made.now + days * 86_400_000)),
  });
}

/** People with keys: three of each role, two of which have to sign. */
export class Operators {
  root = three();
  targets = three();
  readonly roots: Metadata<'root'>[] = [];

  async first({ firmware, now }: { firmware: Firmware; now: WallMs }): Promise<Metadata<'root'>> {
    const { onlineKeys: online } = await firmware.state();
    const of = (signers: readonly Signer[]) => ({ keys: signers.map(({ key }) => key), threshold: 2 });
    const root = signed(
      newRoot({ root: of(this.root), targets: of(this.targets), online }, now),
      this.root.slice(0, 2),
    );
    this.roots.push(root);
    return root;
  }

  next(change: RootChange, now: WallMs, by: readonly Signer[] = this.root.slice(0, 2)): Metadata<'root'> {
    const before = this.roots.at(-1);
    if (before === undefined) throw new Error('There is no root yet');
    const root = signed(nextRoot(before, change, now), by);
    this.roots.push(root);
    return root;
  }

  async sign(
    { firmware, now }: { firmware: Firmware; now: WallMs },
    change: TargetsChange,
    by: readonly Signer[] = this.targets.slice(0, 2),
  ): Promise<Metadata<'targets'>> {
    return signed(nextTargets((await firmware.state()).targets, change, now), by);
  }
}

export const signed = <M extends Metadata<'root'> | Metadata<'targets'>>(metadata: M, by: readonly Signer[]): M =>
  by.reduce((one, signer) => withSignature(one, signer), metadata);

export interface TestBundle extends Offered {
  readonly file: string;
  readonly sha256: string;
}

/** A real bundle, built from a recipe. */
export async function makeBundle(
  counter: number,
  { name = 'kiosk', model = 'cp-1', text = `release ${counter}\n` } = {},
): Promise<TestBundle> {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-recipe-'));
  await mkdir(join(directory, 'payload'));
  await writeFile(join(directory, 'payload', 'app.txt'), text);
  await writeFile(join(directory, 'payload', 'same.txt'), 'the same in every release\n'.repeat(500));
  const recipe = { name, version: `1.${counter}.0`, counter, models: [model], health: HEALTH };
  await writeFile(join(directory, 'bundle.yaml'), JSON.stringify(recipe));
  const file = join(directory, `${name}-${counter}.bundle`);
  const { sha256 } = await buildBundle(directory, file);
  return withBundle(file, ({ manifest, manifestBytes }) => ({ manifest, manifestBytes, file, sha256 }));
}
const HEALTH = { withinSeconds: 60, settleSeconds: 10, sensors: false };

export const dropBundles = (bundles: readonly TestBundle[]): Promise<unknown> =>
  Promise.all(bundles.map(({ file }) => rm(join(file, '..'), { recursive: true, force: true })));

export interface Fetched {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** One request to the server that devices come to, over TLS to its authority. */
export function fetchFile(
  { url, ca }: { url: string; ca: string },
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    const asking = request(`${url}/firmware/${path}`, { ca, headers, method, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers as Record<string, string>,
          bytes: new Uint8Array(Buffer.concat(pieces)),
        }),
      );
    });
    asking.on('error', reject);
    asking.end();
  });
}

/** The agent's view of that server. */
export const repositoryAt = (server: { url: string; ca: string }): Repository => ({
  async get(path) {
    const { status, bytes } = await fetchFile(server, path);
    return status === 200 ? bytes : null;
  },
  async *part(path, from, bytes) {
    yield (await fetchFile(server, path, { range: `bytes=${from}-${from + bytes - 1}` })).bytes;
  },
});
