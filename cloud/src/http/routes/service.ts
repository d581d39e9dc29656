import Type from 'typebox';
import type { Routes } from '../routes.ts';

/** Whether one part of the service can do its work; `detail` says why not. */
export interface Probe {
  readonly name: string;
  check(): Promise<{ readonly ready: boolean; readonly detail?: string }>;
}

/** The text that a scraper reads. */
export interface Exposition {
  expose(): Promise<{ contentType: string; text: string }>;
}

const Readiness = Type.Object({
  ready: Type.Boolean(),
  parts: Type.Record(Type.String(), Type.Object({ ready: Type.Boolean(), detail: Type.Optional(Type.String()) })),
});

const HEALTH = {
  schema: {
    tags: ['service'],
    operationId: 'health',
    summary: 'Whether the process answers',
    security: [],
    response: { 200: Type.Object({ status: Type.Literal('ok') }) },
  },
} as const;

const METRICS = {
  schema: {
    tags: ['service'],
    operationId: 'metrics',
    summary: 'Metrics for Prometheus',
    security: [],
    response: { 200: { description: 'Metrics', content: { 'text/plain': { schema: Type.String() } } } },
  },
} as const;

/** What machines ask of the service itself, without a token and outside of the API. */
export const serviceRoutes =
  ({ probes, exposition }: { probes: readonly Probe[]; exposition: Exposition }): Routes =>
  async (app) => {
    app.get('/healthz', HEALTH, async () => ({ status: 'ok' as const }));

    app.get(
      '/readyz',
      {
        schema: {
          tags: ['service'],
          operationId: 'readiness',
          summary: 'Whether every part can do its work, and which cannot',
          security: [],
          response: { 200: Readiness, 503: Readiness },
        },
      },
      async (_request, reply) => {
        const checked = await Promise.all(probes.map(async (probe) => [probe.name, await ask(probe)] as const));
        const ready = checked.every(([, part]) => part.ready);
        return reply.code(ready ? 200 : 503).send({ ready, parts: Object.fromEntries(checked) });
      },
    );

    app.get('/metrics', METRICS, async (_request, reply) => {
      const { contentType, text } = await exposition.expose();
      return reply.header('content-type', contentType).serializer(String).send(text);
    });
  };

async function ask(probe: Probe): Promise<{ ready: boolean; detail?: string }> {
  try {
    return await probe.check();
  } catch (error) {
    return { ready: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
