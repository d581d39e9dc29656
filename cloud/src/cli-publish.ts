import { openAsBlob } from 'node:fs';
import type { Command } from 'commander';
import { targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import { ApiError, type ApiClient, type Item } from './adapters/api-client.ts';
import { readNamed } from './adapters/named-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import { withBundle } from './bundle-run.ts';
import { makeAssignment } from './cli-assign.ts';
import { api, isJson, sub } from './cli-command.ts';
import { assignmentSheet } from './terminal/rollout-words.ts';
import { formatMetadata, parseRoot, parseTargets, type Metadata } from './tuf/formats.ts';
import { RepositoryError } from './tuf/repository-error.ts';
import { changesOf, checkTargets, nameOf, type ReleaseId } from './tuf/targets.ts';

/** `paddock release publish`. */
export function addPublish(release: Command): void {
  const publish = sub(
    release,
    'publish <file...>',
    'give signed targets to the service, and the bundles they release',
    [
      'release publish 1795866000.targets.json kiosk-2.bundle',
      'release publish 1795866000.targets.json kiosk-2.bundle --assign kiosk-0001 --wait',
    ],
  )
    .option('--withdraw', 'releases that are not in these targets any more are to be withdrawn')
    .option('--assign <device-id...>', 'let these devices run what is released, as `devices assign` does by default')
    .option('--wait', 'with --assign: tell how far it is until it ends; exits with 1 unless all were updated');
  publish.action(async (files: string[]) => {
    const options = publish.optsWithGlobals<PublishOptions>();
    const targets = await targetsAmong(files);
    const bundles = await bundlesAmong(files);
    const client = await api(publish);
    const standing = await publishedBy(client);
    await check(standing, targets, bundles);
    const withdraw = withdrawnBy(standing.targets, targets, options.withdraw === true);
    for (const bundle of bundles) await upload(publish, client, bundle);
    const { body } = await client.send('POST', '/firmware/targets', { targets: formatMetadata(targets), withdraw });
    if (!isJson(publish)) console.log(publishedText(body));
    const { assign: devices, wait = false } = options;
    const assignments = [];
    for (const { name, counter } of devices ? releasedOf(body) : [])
      assignments.push(await makeAssignment(publish, client, { release: { name, counter }, devices }, wait));
    if (isJson(publish)) console.log(JSON.stringify({ ...body, ...(devices && { assignments }) }));
    else for (const made of assignments) console.log(assignmentSheet(made));
  });
}

interface PublishOptions {
  readonly assign?: string[];
  readonly wait?: boolean;
  readonly withdraw?: boolean;
}

/** A bundle to be uploaded; it was read whole. */
interface Offered {
  readonly file: string;
  readonly manifest: Manifest;
  readonly sha256: string;
  readonly bytes: number;
}

async function targetsAmong(files: readonly string[]): Promise<Metadata<'targets'>> {
  const [file, ...more] = files.filter((name) => name.endsWith('.json'));
  if (file === undefined || more.length > 0)
    throw new RepositoryError('metadata_malformed', 'name one file of targets (.json)');
  return parseTargets(await readNamed(file));
}

async function bundlesAmong(files: readonly string[]): Promise<Offered[]> {
  const bundles = [];
  for (const file of files)
    if (!file.endsWith('.json'))
      bundles.push(await withBundle(file, ({ manifest, sha256, bytes }) => ({ file, manifest, sha256, bytes })));
  return bundles;
}

/** What the service publishes. */
export async function publishedBy(
  client: ApiClient,
): Promise<{ readonly root: Metadata<'root'> | null; readonly targets: Metadata<'targets'> | null }> {
  const { body } = await client.get('/firmware');
  const root: unknown = Array.isArray(body['roots']) ? body['roots'].at(-1) : undefined;
  return {
    root: typeof root === 'string' ? parseRoot(root) : null,
    targets: typeof body['targets'] === 'string' ? parseTargets(body['targets']) : null,
  };
}

/** What the service would refuse is better told before a long upload. @throws RepositoryError */
async function check(
  { root, targets: before }: Awaited<ReturnType<typeof publishedBy>>,
  targets: Metadata<'targets'>,
  bundles: readonly Offered[],
): Promise<void> {
  if (root === null) throw new RepositoryError('firmware_root_missing', '`paddock keys install` brings one');
  checkTargets(root, before, targets, systemClock.wall());
  for (const { file, manifest, sha256 } of bundles)
    if (targets.signed.targets[targetPathOf(manifest)]?.hashes.sha256 !== sha256)
      throw new RepositoryError('bundle_differs', `these targets do not release ${file}`);
}

/**
 * What is published and not in these targets any more: that may be meant, or somebody published it after these targets
 * were made from the ones before.
 * @throws RepositoryError `release_left_out` unless it may be withdrawn
 */
export function withdrawnBy(
  before: Metadata<'targets'> | null,
  targets: Metadata<'targets'>,
  mayWithdraw: boolean,
): ReleaseId[] {
  const gone = changesOf(before, targets).withdrawn.map(({ custom: { name, counter } }) => ({ name, counter }));
  if (gone.length > 0 && !mayWithdraw)
    throw new RepositoryError(
      'release_left_out',
      `${gone.map(nameOf).join(', ')}. Say --withdraw if they are to be withdrawn; else make and sign the targets anew`,
    );
  return gone;
}

const releasedOf = ({ released }: Item): Item[] => (Array.isArray(released) ? (released as Item[]) : []);

const publishedText = (body: Item): string =>
  [
    `published targets ${String(body['version'])}`,
    ...lines('released', body['released']),
    ...lines('withdrawn', body['withdrawn']),
  ].join('\n');

const lines = (word: string, items: unknown): string[] =>
  (Array.isArray(items) ? (items as Item[]) : []).map(
    ({ name, version, counter }) => `  ${word} ${String(name)} ${String(version)} (counter ${String(counter)})`,
  );

/** @throws ApiError with the code that the service told */
async function upload(command: Command, client: ApiClient, { file, bytes }: Offered): Promise<void> {
  const tell = (text: string): void => {
    if (!isJson(command)) console.error(`${file}: ${text}`);
  };
  tell(`sending ${bytes} bytes`);
  let isDone = false;
  for await (const event of client.upload('/firmware/bundles', await openAsBlob(file, { type: OCTETS }))) {
    const { kind, code, detail } = event;
    if (kind === 'failed') throw new ApiError(String(code), String(detail));
    if (kind === 'checked') tell('it is whole');
    if (kind === 'packed') tell(packLine(event));
    isDone ||= kind === 'done';
  }
  if (!isDone) throw new ApiError('service_unreachable', 'The service broke off its answer');
}
const packLine = ({ from, bytes }: Item): string =>
  `a pack of ${String(bytes)} bytes ${typeof from === 'number' ? `from counter ${from}` : 'with everything'}`;
const OCTETS = 'application/octet-stream';
