import type { Background, Base } from './base.ts';
import { forgetAudit } from './audit/retention.ts';
import { forgetNonces } from './enrolment/nonces.ts';
import { forgetPending } from './enrolment/pending.ts';
import type { Firmware } from './firmware/firmware.ts';
import { watchClocks } from './instances/clock-watch.ts';
import { runElected, type Job } from './instances/elected.ts';
import { forgetCertificates } from './trust/certificate-bounds.ts';
import { tell } from './monitoring/telling.ts';
import type { Watch } from './monitoring/watch.ts';
import { workRollouts } from './rollouts/round.ts';
import { keepPartitions } from './store/partitions.ts';
import { forgetOld } from './store/retention.ts';

/** Longer than any single turn stands still, shorter than people wait for an alarm. */
const LEASE_MS = 15_000;
const PARTITIONS = { everyMs: 3_600_000, retryMs: 60_000, leaseMs: 60_000 } as const;
const RETENTION = { everyMs: 3_600_000, retryMs: 60_000, leaseMs: 90_000 } as const;
const PRESENCE = { everyMs: 2_000, retryMs: 2_000, leaseMs: LEASE_MS } as const;
const ENROLMENT = { everyMs: 60_000, retryMs: 60_000, leaseMs: LEASE_MS } as const;
/** Timestamps are good for a day and made anew after half of it. */
const FIRMWARE = { everyMs: 300_000, retryMs: 60_000, leaseMs: 60_000 } as const;
const ROLLOUTS = { everyMs: 2_000, retryMs: 5_000, leaseMs: LEASE_MS } as const;
const CLOCKS = { everyMs: 10_000, retryMs: 10_000, leaseMs: LEASE_MS } as const;

/** Starts what one instance does for all of them, whichever comes first when it is due. */
export function runJobs(base: Base, watch: Watch, firmware: Firmware, background: Background): void {
  const parts = { ...base, instanceId: base.identity.instanceId };
  for (const job of jobsOf(base, watch, firmware)) background((signal) => runElected(parts, job, signal));
}

function jobsOf(base: Base, watch: Watch, firmware: Firmware): Job[] {
  const { config, log } = base;
  return [
    {
      job: 'partitions',
      ...PARTITIONS,
      async work(store, now) {
        const { created, dropped } = await keepPartitions(store, now, { retentionDays: config.retentionDays });
        if (created.length + dropped.length > 0) log.info({ created, dropped }, 'Partitions of the archive changed');
      },
    },
    {
      job: 'retention',
      ...RETENTION,
      async work(store, now) {
        const forgotten = await forgetOld(store, now, { retentionDays: config.retentionDays });
        if (Object.values(forgotten).some((count) => count > 0))
          log.info(forgotten, 'What was past the retention is forgotten');
        const audit = await forgetAudit(store, now, { retentionDays: config.auditRetentionDays });
        if (audit > 0) log.info({ entries: audit }, 'The oldest entries of the audit log are forgotten');
      },
    },
    {
      job: 'enrolment',
      ...ENROLMENT,
      async work(store, now) {
        await forgetNonces(store, now);
        await forgetPending(store, now);
      },
    },
    {
      job: 'certificates',
      ...RETENTION,
      async work(store, now) {
        const forgotten = await forgetCertificates(store, now);
        if (forgotten > 0) log.info({ certificates: forgotten }, 'Certificates that expired long ago are forgotten');
      },
    },
    { job: 'firmware', ...FIRMWARE, work: (store, now) => firmware.renew(store, now) },
    { job: 'rollouts', ...ROLLOUTS, work: (store, now) => workRollouts(base, store, now) },
    { job: 'presence', ...PRESENCE, work: async (store, now) => void (await watch.judge(store, now)) },
    {
      job: 'clocks',
      ...CLOCKS,
      async work(store, now) {
        for (const notice of await watchClocks(store, now, config.clockErrorMs)) tell(log, notice);
      },
    },
  ];
}
