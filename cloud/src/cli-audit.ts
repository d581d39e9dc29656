import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ApiClient, Item, Query } from './adapters/api-client.ts';
import { ChainError, ChainWalk, type ChainLink } from './audit/chain.ts';
import { api, isJson, print, sub } from './cli-command.ts';
import { ConfigError } from './config.ts';
import { auditLine } from './terminal/audit-line.ts';
import { sheet } from './terminal/table.ts';

const NEWEST = '50';
const FOLLOW_EVERY_MS = 1_000;

/** `paddock audit`: who did what. Nothing here changes the log. */
export function addAudit(root: Command): void {
  const audit = sub(root, 'audit', 'who did what, from where, and with which result', [
    'audit --since 2026-11-24T00:00:00Z --device kiosk-0001',
    'audit --actor unknown --follow',
    'audit show 4711',
    'audit verify',
  ])
    .option('--since <time>', 'from this time on (RFC 3339); by default the newest 50')
    .option('--device <id>', 'about this device')
    .option('--actor <actor>', 'by token:<id>, device:<id>, factory:<batch>, terminal:<user>, service or unknown')
    .option('--action <name>', 'what was done')
    .option('--result <result>', 'done, refused or failed')
    .option('--follow', 'go on with what comes, until Ctrl-C');
  audit.action(() => showLog(audit));

  const show = sub(audit, 'show <number>', 'one entry, with the edits that came with it', ['audit show 4711 --json']);
  show.action(async (seq: string) => {
    const { body } = await (await api(show)).get(`/audit/${encodeURIComponent(seq)}`);
    const edits = body['edits'] as Item[];
    print(show, body, () => [sheet(body['entry'] as Item), ...edits.map((edit) => sheet(edit))].join('\n\n'));
  });

  const verify = sub(audit, 'verify', 'that no entry is missing or altered, and what the newest one is', [
    'audit verify',
    'audit verify --expect 4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  ]).option('--expect <number:hash>', 'an entry that was noted elsewhere has to be there as it was');
  verify.action(() => verifyLog(verify));
}

async function showLog(command: Command): Promise<void> {
  const options = command.optsWithGlobals<Readonly<Record<string, string>> & { follow?: boolean }>();
  const { since, device, actor, action, result } = options;
  const client = await api(command);
  const query = { device, actor, action, result, from: since === undefined ? undefined : instantOf(since) };
  const shown = since === undefined ? await newest(client, query) : await all(client, query);
  const show = (entry: Item): void => console.log(isJson(command) ? JSON.stringify(entry) : auditLine(entry));
  if (isJson(command) && options.follow !== true) return console.log(JSON.stringify(shown));
  shown.forEach(show);
  if (options.follow === true) await follow(client, query, Number(shown.at(-1)?.['seq'] ?? 0), show);
}

function instantOf(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new ConfigError(['--since has to be a time, such as 2026-11-24T08:00:00Z']);
  return new Date(ms).toISOString();
}

async function newest(client: ApiClient, query: Query): Promise<Item[]> {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const { body } = await client.get(`/audit?${new URLSearchParams([...given, ['limit', NEWEST]]).toString()}`);
  return (body['items'] as Item[]).toReversed();
}

async function all(client: ApiClient, query: Query, after = 0): Promise<Item[]> {
  const entries: Item[] = [];
  for await (const entry of client.list('/audit', { ...query, after: String(after) })) entries.push(entry);
  return entries;
}

async function follow(client: ApiClient, query: Query, from: number, show: (entry: Item) => void): Promise<void> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  let last = from;
  while (!stop.signal.aborted) {
    for (const entry of await all(client, query, last)) {
      show(entry);
      last = Number(entry['seq']);
    }
    await sleep(FOLLOW_EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
  }
}

async function verifyLog(command: Command): Promise<void> {
  const { expect } = command.optsWithGlobals<Record<string, string>>();
  if (expect !== undefined && !/^\d{1,15}:[0-9a-f]{64}$/.test(expect))
    throw new ConfigError(['--expect has to be a number, a colon and a hash in hex, as `audit verify` shows them']);
  const walk = new ChainWalk();
  let isThere = expect === undefined;
  for await (const item of (await api(command)).list('/audit/chain')) {
    const link: ChainLink = {
      seq: Number(item['seq']),
      entry: String(item['entry']),
      previous: String(item['previous']),
      hash: String(item['hash']),
    };
    walk.take(link);
    isThere ||= expect === `${link.seq}:${link.hash}`;
  }
  const walked = walk.end();
  if (!isThere) throw new ChainError('audit_head_differs', String(expect));
  const body = { verified: true, ...walked, head: `${walked.last}:${walked.hash}` };
  print(command, body, () => sheet(body));
}
