import type { ActConfig } from '../act/settings.ts';
import type { SenseConfig } from '../sense/settings.ts';
import { invalid, type Path, type Problem } from './problems.ts';

interface Use {
  readonly user: string;
  readonly port: string;
  readonly line: number | string;
  readonly path: Path;
}

/**
 * The kernel gives a line of a GPIO chip to one of them only. That a name and a number mean the same line only shows
 * when it is asked for: then it is in use.
 */
export function lineProblems(sensors: SenseConfig['sensors'], outputs: ActConfig['outputs']): Problem[] {
  const owner = new Map<string, string>();
  return [...usesOf(sensors, outputs)].flatMap(({ user, port, line, path }) => {
    const key = JSON.stringify([port, line]);
    const other = owner.get(key);
    if (other === undefined) owner.set(key, user);
    return other === undefined ? [] : [invalid(path, `is the line of ${other} already`)];
  });
}

function* usesOf(sensors: SenseConfig['sensors'], outputs: ActConfig['outputs']): Generator<Use> {
  for (const [name, { source }] of Object.entries(sensors)) {
    if (source.kind !== 'gpio') continue;
    const { port, line } = source;
    yield { user: `sensor ${name}`, port, line, path: ['sensors', name, 'source', 'line'] };
  }
  for (const [name, { target }] of Object.entries(outputs)) {
    if (target.kind !== 'gpio') continue;
    const { port, line } = target;
    yield { user: `output ${name}`, port, line, path: ['outputs', name, 'target', 'line'] };
  }
}
