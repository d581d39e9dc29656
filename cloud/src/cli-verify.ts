import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { inflater } from './adapters/inflate.ts';
import { print, sub } from './cli-command.ts';
import { ProofError, verifyProof } from './proof/verify.ts';
import { sheet } from './terminal/table.ts';

/** `paddock verify`: for whoever has an exported proof, and not the service. */
export function addVerify(root: Command): void {
  const verify = sub(root, 'verify <file>', 'verify an exported report or inventory, without the service', [
    'verify proof.json',
    'verify proof.json --thumbprint NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
  ]).option('--thumbprint <thumbprint>', 'RFC 7638 thumbprint that the key has to have');
  verify.action(async (file: string) => {
    const { thumbprint } = verify.optsWithGlobals<Record<string, string>>();
    const exported = parseExported(await readFile(file, 'utf8'));
    const { signed, ...proved } = await verifyProof(exported, inflater, thumbprint);
    print(
      verify,
      { verified: true, ...proved, ...signed },
      () => `${sheet({ verified: true, ...proved })}\n\n${JSON.stringify(Object.values(signed)[0], null, 2)}`,
    );
  });
}

function parseExported(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ProofError('proof_malformed', 'it is not JSON', { cause });
  }
}
