import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LocalSchema } from '@paddock/agent/config/local-settings.ts';
import { ENDINGS } from '@paddock/agent/local/listeners.ts';
import { ROUTES } from '@paddock/agent/local/interface.ts';
import { LOCAL_PROBLEMS, LOCAL_SOCKET_ERRORS } from '@paddock/agent/ports-local.ts';
import { describe, expect, it } from 'vitest';
import { localState } from '../../harness/agent/local-state.ts';

const read = (path: string): string => readFileSync(join(import.meta.dirname, '../../..', path), 'utf8');
const page = read('docs/local.md');
const code = (text: string): string => `\`${text}\``;

/** The rows below a table's head, as lists of cells. */
function rowsUnder(head: string): string[][] {
  expect(page).toContain(head);
  const lines = page.slice(page.indexOf(head)).split('\n').slice(2);
  const end = lines.indexOf('');
  return lines.slice(0, end).map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')));
}

describe('the page about the local interface', () => {
  it('has every key of its section, with its default', () => {
    const known = Object.entries(LocalSchema.properties).map(([key, schema]) => {
      const fallback = 'default' in schema ? schema.default : undefined;
      return [code(key), fallback === undefined ? '-' : code(typeof fallback === 'string' ? fallback : '[]')];
    });
    expect(rowsUnder('| key of `local` |').map(([key, , fallback]) => [key, fallback])).toEqual(known);
  });

  it('has every address with its methods', () => {
    const known = Object.entries(ROUTES).map(([path, methods]) => [path, Object.keys(methods).toSorted().join()]);
    const rows = rowsUnder('| address | method |').map(([path = '', methods = '']) => [
      path.slice(1, -1).replace(/\{\w+\}/, ':'),
      methods.split(', ').toSorted().join(),
    ]);
    expect(rows).toEqual(known);
  });

  it('has every code, in its words', () => {
    const problems = Object.entries(LOCAL_PROBLEMS).map(([one, { status, title }]) => [code(one), `${status}`, title]);
    expect(rowsUnder('| `code` | status |')).toEqual(problems);
    const socket = rowsUnder('| `code` of the socket |').map(([one, title]) => [one, title]);
    expect(socket).toEqual(Object.entries(LOCAL_SOCKET_ERRORS).map(([one, title]) => [code(one), title]));
    const endings = rowsUnder('| `code` of an end |').map(([one, title]) => [one, title]);
    expect(endings).toEqual(Object.entries(ENDINGS).map(([one, title]) => [code(one), title]));
  });

  it('has every field of the state', () => {
    expect(rowsUnder('| field | what it is |').map(([field]) => field)).toEqual(Object.keys(localState()).map(code));
  });
});

describe('the client of the local interface', () => {
  it('is the same file in the demonstration’s application', () => {
    const client = read('agent/client/paddock-local.mjs');
    expect(read('firmware-bundles/kiosk-app/application/screen/paddock-local.mjs')).toBe(client);
  });
});
