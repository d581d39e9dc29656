import type { Command } from 'commander';
import { ApiClient, type Item } from './adapters/api-client.ts';
import { readOperatorToken } from './adapters/data-dir.ts';
import { readClientConfig } from './config-client.ts';
import { table, type Column } from './terminal/table.ts';

/** Exit codes, as --help says them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3 } as const;
export const EXIT_HELP = `
Exit codes: 0 done; 1 refused or not valid; 2 wrong usage or configuration; 3 the service does not answer.`;

export type Options = Readonly<Record<string, string | boolean | undefined>>;

export function sub(parent: Command, usage: string, description: string, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ paddock ${example}`).join('\n');
  return parent.command(usage).description(description).addHelpText('after', `\nExamples:\n${lines}\n${EXIT_HELP}`);
}

export async function api(command: Command): Promise<ApiClient> {
  const { url, token, dataDir } = readClientConfig(process.env, command.optsWithGlobals());
  return new ApiClient({ url, token: token ?? (await readOperatorToken(dataDir)) });
}

export const isJson = (command: Command): boolean => command.optsWithGlobals<Options>()['json'] === true;

export function print(command: Command, body: object, human: () => string): void {
  console.log(isJson(command) ? JSON.stringify(body) : human());
}

export async function printList(
  command: Command,
  path: string,
  columns: readonly Column<Item>[],
  query: Readonly<Record<string, string | undefined>> = {},
): Promise<void> {
  const items: Item[] = [];
  for await (const item of (await api(command)).list(path, query)) items.push(item);
  print(command, items, () => table(items, columns));
}
