import type { UnitFacts } from '../../ports-systemd.ts';

/** What the facts of a unit are made of. */
export const FACTS =
  'Id LoadState UnitFileState ActiveState SubState Result ExecMainStatus NRestarts ActiveEnterTimestampMonotonic ConditionResult DropInPaths'.split(
    ' ',
  );

type Properties = Readonly<Record<string, string>>;

/** Blocks of `name=value`, one a unit, with an empty line between them; a name that comes again has a line each. */
export function parseShown(text: string): Properties[] {
  return text
    .split(/\n\n+/)
    .filter((block) => block.trim() !== '')
    .map((block) => {
      const found: Record<string, string> = {};
      for (const line of block.split('\n')) {
        const at = line.indexOf('=');
        if (at <= 0) continue;
        const [name, value] = [line.slice(0, at), line.slice(at + 1)];
        found[name] = found[name] === undefined ? value : `${found[name]}\n${value}`;
      }
      return found;
    });
}

/** @param nowUs of CLOCK_MONOTONIC */
export function unitOf(shown: Properties, nowUs: number): UnitFacts {
  const { Id = '', LoadState = '', UnitFileState = '', ActiveState = '', SubState = '', ...settings } = shown;
  const since = Number(settings['ActiveEnterTimestampMonotonic'] ?? 0);
  return {
    name: Id,
    load: LoadState,
    file: UnitFileState,
    active: ActiveState,
    sub: SubState,
    result: settings['Result'] ?? '',
    exitStatus: settings['ExecMainStatus'] ?? '',
    restarts: Number(settings['NRestarts'] ?? 0) || 0,
    activeForMs: ActiveState === 'active' && since > 0 ? Math.max(0, (nowUs - since) / 1000) : null,
    isConditionMet: settings['ConditionResult'] !== 'no',
    dropIns: wordsOf(settings['DropInPaths']),
    settings,
  };
}

/** Names in a list. */
export const wordsOf = (text = ''): string[] => text.split(/\s+/).filter(Boolean);
