import { zstdDecompressSync } from 'node:zlib';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import { parseIndex } from '@paddock/shared/bundle-index.ts';
import { packHeadBytes, packObjects, parsePackHead, PACK_PREFIX_BYTES, type PackPart } from '@paddock/shared/pack.ts';
import { prepareBundle, writeBundle } from '@paddock/cloud/bundles/build.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import { readPayload } from '@paddock/cloud/bundles/payload-files.ts';
import { readBundle } from '@paddock/cloud/bundles/read.ts';
import { RecipeError } from '@paddock/cloud/bundles/recipe-error.ts';
import type { Recipe } from '@paddock/cloud/bundles/recipe.ts';
import type { Spool } from '@paddock/cloud/ports.ts';
import type { Payload, PayloadLook, StillFile } from '@paddock/cloud/ports-firmware.ts';

/** What stands at a path: a file's content, or something else. Directories follow from the paths. */
export type TreeNode =
  | string
  | Uint8Array
  | { readonly content: string; readonly mode: number }
  | { readonly link: string }
  | { readonly kind: 'directory' | 'other' };
export type Tree = Readonly<Record<string, TreeNode>>;

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A payload in memory. @param order turns lists of names round, as file systems may */
export function treePayload(tree: Tree, order: (names: string[]) => string[] = (names) => names): Payload {
  const at = (path: string): TreeNode => tree[path] ?? { kind: 'directory' };
  const contentOf = (node: TreeNode): Uint8Array => {
    if (node instanceof Uint8Array) return node;
    return bytesOf(typeof node === 'string' ? node : 'content' in node ? node.content : '');
  };
  return {
    async list(directory) {
      const below = directory === '' ? '' : `${directory}/`;
      const names = Object.keys(tree)
        .filter((path) => path.startsWith(below))
        .map((path) => path.slice(below.length).split('/')[0] ?? '');
      return order([...new Set(names)]).map(bytesOf);
    },
    look: async (path) => lookAt(at(path), contentOf(at(path)).length),
    async readLink(path) {
      const node = at(path);
      return bytesOf(typeof node === 'object' && 'link' in node ? node.link : '');
    },
    async *read(path) {
      yield contentOf(at(path));
    },
  };
}

function lookAt(node: TreeNode, size: number): PayloadLook {
  if (typeof node === 'string' || node instanceof Uint8Array) return { kind: 'file', size, mode: 0o644 };
  if ('content' in node) return { kind: 'file', size, mode: node.mode };
  if ('link' in node) return { kind: 'link', size: node.link.length, mode: 0o777 };
  return { kind: node.kind, size: 0, mode: 0o755 };
}

const RECIPE: Recipe = {
  name: 'kiosk-app',
  version: '1.0.0',
  counter: 1,
  models: ['demo-cp22'],
  payload: ['payload'],
  health: { withinSeconds: 60, settleSeconds: 5, sensors: true },
};

/** The archive of a payload, or of several above each other. */
export async function archiveOf(trees: Tree | readonly Payload[], recipe: Partial<Recipe> = {}): Promise<Buffer> {
  const layers = Array.isArray(trees) ? (trees as readonly Payload[]) : [treePayload(trees as Tree)];
  const prepared = await prepareBundle({ ...RECIPE, ...recipe }, await readPayload(layers));
  return bytesFrom(writeBundle(prepared));
}

export const bundleOf = async (tree: Tree, recipe: Partial<Recipe> = {}): Promise<Bundle> =>
  readBundle(memoryFile(await archiveOf(tree, recipe)));

export async function bytesFrom(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

export const memoryFile = (content: Uint8Array): StillFile => ({
  bytes: content.length,
  read: async (from, bytes) => content.subarray(from, from + bytes),
  close: async () => undefined,
});

export function memorySpool(): Spool {
  const chunks: Uint8Array[] = [];
  return {
    write: async (chunk) => void chunks.push(chunk.slice()),
    async *read() {
      yield* chunks;
    },
    close: async () => undefined,
  };
}

/** The code of what is refused; null when nothing is. */
export async function refusalOf(work: () => unknown): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof BundleError || error instanceof RecipeError) return error.code;
    throw error;
  }
}

/** What a device has of a release. */
export interface Held {
  readonly index: Uint8Array;
  /** Contents by hash. */
  readonly objects: ReadonlyMap<string, Uint8Array>;
}

export async function heldOf(bundle: Bundle): Promise<Held> {
  const objects = new Map<string, Uint8Array>();
  for (const { sha256 } of packObjects(bundle.entries, null))
    objects.set(sha256, await bytesFrom(bundle.object(sha256)));
  return { index: bundle.indexBytes, objects };
}

/** Takes a pack apart as docs/protocol.md has it, with nothing of the code that makes packs. */
export function unpack(pack: Uint8Array, from: Held | null): Held & { readonly parts: readonly PackPart[] } {
  const headBytes = packHeadBytes(pack.subarray(0, PACK_PREFIX_BYTES));
  let at = PACK_PREFIX_BYTES + headBytes;
  const head = parsePackHead(pack.subarray(PACK_PREFIX_BYTES, at));
  const next = ({ bytes, encoding }: PackPart, dictionary?: Uint8Array): Uint8Array => {
    const content = pack.subarray(at, (at += bytes));
    if (encoding === 'plain') return content;
    return zstdDecompressSync(
      content,
      encoding === 'delta' && dictionary ? { dictionary: Buffer.from(dictionary) } : {},
    );
  };
  const index = next(head.index, from?.index);
  const old = from && parseIndex(from.index);
  const objects = packObjects(parseIndex(index), old).map(({ sha256, base }, count) => {
    const part = head.objects[count];
    if (part === undefined) throw new Error('The head has too few parts');
    return [sha256, next(part, base ? from?.objects.get(base.sha256) : undefined)] as const;
  });
  if (at !== pack.length || objects.length !== head.objects.length) throw new Error('The pack has another length');
  return { index, objects: new Map(objects), parts: head.objects };
}
