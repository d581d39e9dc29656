import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { METRICS, type MetricName, type Metrics } from '../ports.ts';

export interface Prometheus extends Metrics {
  /** The text that a scraper reads, and its content type. */
  expose(): Promise<{ contentType: string; text: string }>;
}

type Instrument = Counter | Gauge | Histogram;

/** Seconds: from a commit of one batch to a database that is in trouble. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Metrics in a registry of their own, with Node's process metrics beside them. */
export function createPrometheus(): Prometheus {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const names = Object.keys(METRICS) as MetricName[];
  const instruments = new Map(names.map((name) => [name, instrument(registry, name)]));
  return {
    count(name, labels, by) {
      const counter = instruments.get(name);
      if (counter instanceof Counter) counter.inc(labels ?? {}, by ?? 1);
    },
    gauge(name, value, labels) {
      const gauge = instruments.get(name);
      if (gauge instanceof Gauge) gauge.set(labels ?? {}, value);
    },
    observe(name, seconds) {
      const histogram = instruments.get(name);
      if (histogram instanceof Histogram) histogram.observe(seconds);
    },
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function instrument(registry: Registry, name: MetricName): Instrument {
  const { type, help, labels } = METRICS[name];
  const shape = { name, help, labelNames: [...labels], registers: [registry] };
  if (type === 'counter') return new Counter(shape);
  if (type === 'gauge') return new Gauge(shape);
  return new Histogram({ ...shape, buckets: BUCKETS });
}
