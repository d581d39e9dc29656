import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openSpool } from '@paddock/cloud/adapters/spool-file.ts';
import { openStillFile } from '@paddock/cloud/adapters/still-file.ts';
import { prepareBundle, writeBundle } from '@paddock/cloud/bundles/build.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import { readPayload } from '@paddock/cloud/bundles/payload-files.ts';
import { readBundle } from '@paddock/cloud/bundles/read.ts';
import { RECIPE } from '../harness/bundles.ts';
import { makeFiles, payloadOf, withOneLineChanged, withTwoBumped, type Files } from './update-payload.ts';

/** Bundles and packs of the bench, in files. */
export interface Packs {
  readonly figures: Readonly<Record<string, number>>;
  readonly first: Bundle;
  readonly oneLine: Bundle;
  readonly twoBumped: Bundle;
  /** Paths of the packs. */
  readonly packs: { readonly full: string; readonly oneLine: string; readonly twoBumped: string };
}

/** The cloud's half: builds three bundles in a directory, and the packs that bring a device to them. */
export async function makePacks(directory: string): Promise<Packs> {
  const files = makeFiles();
  const began = performance.now();
  const first = await build(files, 1, directory);
  const built = performance.now();
  const oneLine = await build(withOneLineChanged(files), 2, directory);
  const twoBumped = await build(withTwoBumped(files), 3, directory);
  const pack = (name: string, to: Bundle, from: Bundle | null): Promise<Written> =>
    writePack(join(directory, `${name}.pack`), to, from, directory);
  const packs = {
    full: await pack('full', first, null),
    oneLine: await pack('one-line', oneLine, first),
    twoBumped: await pack('two-bumped', twoBumped, first),
  };
  return {
    figures: {
      files: first.manifest.files,
      payloadMB: first.manifest.bytes / 1e6,
      bundleMB: first.bytes / 1e6,
      buildSeconds: (built - began) / 1_000,
      fullBytes: packs.full.bytes,
      oneLineBytes: packs.oneLine.bytes,
      twoBumpedBytes: packs.twoBumped.bytes,
      oneLinePackSeconds: packs.oneLine.ms / 1_000,
    },
    first,
    oneLine,
    twoBumped,
    packs: { full: packs.full.path, oneLine: packs.oneLine.path, twoBumped: packs.twoBumped.path },
  };
}

interface Written {
  readonly path: string;
  readonly bytes: number;
  readonly ms: number;
}

async function build(files: Files, counter: number, directory: string): Promise<Bundle> {
  const path = join(directory, `bench-${counter}.bundle`);
  const prepared = await prepareBundle({ ...RECIPE, counter }, await readPayload([payloadOf(files)]));
  await pipeline(writeBundle(prepared), createWriteStream(path));
  return readBundle(await openStillFile(path));
}

async function writePack(path: string, to: Bundle, from: Bundle | null, directory: string): Promise<Written> {
  const began = performance.now();
  const spool = await openSpool(directory);
  const file = createWriteStream(path);
  await pipeline(makePack(to, from, spool), file);
  await spool.close();
  return { path, bytes: file.bytesWritten, ms: performance.now() - began };
}
