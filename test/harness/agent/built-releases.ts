import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import type { Recipe } from '@paddock/cloud/bundles/recipe.ts';
import type { Release } from '@paddock/shared/firmware.ts';
import { targetPathOf } from '@paddock/shared/manifest.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
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
