import { join } from 'node:path';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import type { Clock } from '@paddock/agent/ports.ts';
import { beginUpdating, type Updating } from '@paddock/agent/updating.ts';
import type { FirmwareConfig } from '@paddock/agent/config/firmware-settings.ts';
import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import type { Recipe } from '@paddock/cloud/bundles/recipe.ts';
import type { Release } from '@paddock/shared/firmware.ts';
import { targetPathOf } from '@paddock/shared/manifest.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import { bundleOf, bytesFrom, memorySpool, type Tree } from '../bundles.ts';
import { ROLES, targetOf } from '../tuf/simulator.ts';
import { UpdateRepository } from './update-device.ts';

/** A repository whose metadata last, for agents on real clocks. */
export function lastingRepository(): UpdateRepository {
  const repository = new UpdateRepository();
  for (const role of ROLES) repository.roles[role].expires = '2099-01-01T00:00:00Z';
  repository.publishRoot();
  return repository;
}

/** Builds a release as the service does, and publishes it. */
export async function publish(repository: UpdateRepository, payload: Tree, recipe: Partial<Recipe>): Promise<Release> {
  const bundle = await bundleOf(payload, recipe);
  const { name, version, counter, index } = bundle.manifest;
  const path = targetPathOf(bundle.manifest);
  repository.targets[path] = targetOf(bundle.manifestBytes);
  repository.putTarget(path, bundle.manifestBytes);
  repository.files.set(packPathOf(index.sha256, null), await bytesFrom(makePack(bundle, null, memorySpool())));
  repository.publish();
  return { name, version, counter, sha256: bundle.sha256 };
}

/** What an agent of one boot is started with. */
export interface KioskStart {
  readonly home: string;
  readonly bootId: string;
  readonly firmware: FirmwareConfig;
  readonly release: Release;
  readonly repository: string;
}

/** Of a machine that has just been started. */
function clockOfBoot(): Clock {
  const clock = createSystemClock();
  const startedAt = clock.monotonic();
  return { ...clock, monotonic: () => uptimeMs(clock.monotonic() - startedAt) };
}

/** The agent's updates on this machine, in one start of it, towards a release. @param hear of its log */
export async function beginKiosk(start: KioskStart, hear: (fields: object) => void = () => {}): Promise<Updating> {
  const updating = await beginUpdating(start.firmware, {
    clock: clockOfBoot(),
    disk: await openDisk(join(start.home, 'state')),
    log: { debug: hear, info: hear, warn: hear, error: hear },
    time: { at: () => ({ earliest: wallMs(Date.now()), latest: wallMs(Date.now() + 1_000) }) },
    bootId: start.bootId,
    pin: null,
    standing: () => null,
    readings: () => ({}),
  });
  await updating.handler.apply({ ...start.release, repository: start.repository });
  return updating;
}
