import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { programPath } from '../../harness/system.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');
const AGENT = 'packaging/agent/paddock-agent.service';
const LAUNCHER = 'packaging/agent/paddock-launcher.service';
const CLOUD = 'packaging/cloud/paddock-cloud.service';
/** Settings by which the unit gives the agent something. */
const GRANTS = [
  'DeviceAllow',
  'SupplementaryGroups',
  'RestrictAddressFamilies',
  'SystemCallFilter',
  'StateDirectory',
  'RuntimeDirectory',
];
const analyze = programPath('systemd-analyze');

/** What systemd itself holds of a unit: 0 is best. */
function exposureOf(unit: string): number {
  const said = execFileSync(analyze, ['security', '--offline=true', join(REPOSITORY, unit)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said)?.[1]);
}

describe('the units of the packages', () => {
  it.each([
    [AGENT, 2],
    [CLOUD, 2],
    [LAUNCHER, 5],
  ])('%s is exposed no more than %d by what systemd says', (unit, most) => {
    expect(exposureOf(unit)).toBeLessThanOrEqual(most);
  });

  it.each([AGENT, LAUNCHER, CLOUD])(
    '%s is understood by systemd, but for steps that an older one does not know',
    (unit) => {
      const { stderr } = spawnSync(analyze, ['verify', '--man=no', join(REPOSITORY, unit)], { encoding: 'utf8' });
      const told = stderr.split('\n').filter((line) => line.includes(unit));
      const isExpected = (line: string): boolean => /RestartSteps|RestartMaxDelaySec/.test(line);
      expect(told.filter((line) => !isExpected(line))).toEqual([]);
    },
  );

  it('have each permission of the agent that is left in the table of the page', () => {
    const unit = readFileSync(join(REPOSITORY, AGENT), 'utf8');
    const page = readFileSync(join(REPOSITORY, 'docs/operations.md'), 'utf8');
    const granted = unit.match(new RegExp(`^(${GRANTS.join('|')})=.*$`, 'gm')) ?? [];
    expect(granted.filter((line) => !page.includes(`\`${line}\``))).toEqual([]);
    expect(granted.length).toBeGreaterThan(GRANTS.length);
  });
});
