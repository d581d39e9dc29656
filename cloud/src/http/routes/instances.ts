import Type from 'typebox';
import { toInstant } from '@paddock/shared/time.ts';
import { requireReach } from '../../customers/scope.ts';
import { listInstances, readClockAlarm, type Instance } from '../../instances/register.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import { Instant, Nullable, pageSchema, refusals } from '../schemas.ts';

const InstanceView = Type.Object({
  instanceId: Type.String({ description: 'New at every start' }),
  host: Type.String(),
  version: Type.String(),
  startedAt: Instant,
  seenAt: Instant,
  alive: Type.Boolean({ description: 'Heard of within 30 s' }),
  clock: Type.Object({
    errorMs: Type.Number({ description: 'How wrong it says that its clock can be' }),
    source: Type.String({ enum: ['kernel', 'configured'] }),
    offset: Type.Object(
      { lowMs: Type.Number(), highMs: Type.Number() },
      { description: "Its clock less the database's lies in between" },
    ),
    steps: Type.Integer({ description: 'How often its clock was set since the start' }),
    disagrees: Type.Boolean({ description: "Contradicts the others' clocks by more than they claim to be wrong" }),
    disagreesSince: Nullable(Instant),
  }),
});

const LIST_INSTANCES = {
  schema: {
    tags: ['service'],
    operationId: 'listInstances',
    summary: 'Instances of the service within the last hour, and their clocks; for tokens that reach every customer',
    response: { 200: pageSchema(InstanceView), ...refusals },
  },
} as const;

/** Who serves: one row a running process. */
export const instanceRoutes =
  ({ store }: { store: Store }): Routes =>
  async (app) => {
    app.get('/instances', LIST_INSTANCES, async (request) => {
      requireReach(principalOf(request).scope, null);
      const [instances, { named, since }] = [await listInstances(store), await readClockAlarm(store)];
      const disagreesSince = since === null ? null : toInstant(since);
      const items = instances.map((instance) =>
        viewOf(instance, named.includes(instance.instanceId) ? disagreesSince : null),
      );
      return { items, next: null };
    });
  };

function viewOf({ instanceId, host, version, startedAt, seenAt, isAlive, clock }: Instance, since: string | null) {
  return {
    instanceId,
    host,
    version,
    startedAt: toInstant(startedAt),
    seenAt: toInstant(seenAt),
    alive: isAlive,
    clock: { ...clock, disagrees: since !== null, disagreesSince: since },
  };
}
