import type { PackEncoding } from '@paddock/shared/pack.ts';
import type { MemberHead } from './tar.ts';

/** The members of an archive, in their order; behind them the objects, in the order in which the index names them first. */
export const MANIFEST_MEMBER = 'manifest.json';
export const INDEX_MEMBER = 'index';
export const SBOM_MEMBER = 'sbom.cdx.json';

/** How an object lies in an archive: compressed where that is shorter. */
export type ObjectEncoding = Exclude<PackEncoding, 'delta'>;

export const objectMember = (sha256: string, encoding: ObjectEncoding, bytes: number): MemberHead => ({
  name: `objects/${sha256}${encoding === 'zstd' ? '.zst' : ''}`,
  bytes,
});

/** The name of the file. */
export const bundleFileName = ({ name, counter }: { readonly name: string; readonly counter: number }): string =>
  `${name}-${counter}.bundle`;
