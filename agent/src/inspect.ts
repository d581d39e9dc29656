import type { Report } from '@paddock/shared/report.ts';
import type { IssuedCertificate } from '@paddock/shared/enrolment.ts';
import { findChips, namesGpio } from './acting.ts';
import { diskReader } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { longestGapMs } from './adapters/cron.ts';
import type { AgentConfig } from './config.ts';
import { keyPlace } from './identity-key.ts';
import { keptKeyList } from './enrol/key-lists.ts';
import { readRecord } from './enrol/record.ts';
import { readState } from './identity/state-file.ts';
import { AGENT_VERSION } from './main.ts';
import type { Disk } from './ports.ts';
import type { ChipFacts } from './ports-gpio.ts';
import { buildReport } from './report/build.ts';
import { OUTBOX_FILE, parseOutbox, READ_BYTES } from './report/outbox-file.ts';
import { nextWithinMs } from './report/triggers.ts';
import type { PortState } from './sense/sensors.ts';
import { createSensing } from './sensing.ts';

export interface Inspection {
  /** What a report would say now. Nothing is sent, and no sequence is used up. */
  readonly report: Report;
  readonly ports: readonly PortState[];
  /** The chips of the machine, and who has their lines; empty where the configuration names none. */
  readonly chips: readonly ChipFacts[];
  /** The last start that was begun; null before the first. */
  readonly identity: { readonly incarnation: string; readonly start: number } | null;
  /** Where the identity key lives, in words. Neither key nor token is opened for it. */
  readonly keyPlace: string;
  /** What enrolment came to; null before the first list of keys, and without enrolment. */
  readonly enrolment: EnrolmentState | null;
  /** Events on the disk that no answer covers yet. */
  readonly eventsWaiting: number;
}

export interface EnrolmentState {
  readonly device: string | null;
  readonly retired: boolean;
  readonly keyListVersion: number;
  readonly certificate: Pick<IssuedCertificate, 'notBefore' | 'notAfter' | 'renewAfter'> | null;
}

/** Stands for the id in what is shown before the device has one. */
const NO_DEVICE = 'not-enrolled';

/** Reads every sensor for a while and puts together what would be reported. */
export async function inspect(config: AgentConfig, listenMs: number): Promise<Inspection> {
  const clock = createSystemClock();
  const machine = createMachine(config.dataDir);
  const disk = diskReader(config.dataDir);
  const state = await readState(disk);
  const identity = typeof state === 'string' ? null : state;
  const enrolment = await enrolmentOn(disk);
  const device = enrolment?.device ?? config.device ?? NO_DEVICE;
  const waiting = parseOutbox((await disk.read(OUTBOX_FILE, READ_BYTES)) ?? new Uint8Array(), device).reports;
  // Before anything is opened: what is open keeps the process.
  const scheduleGapMs = longestGapMs(config.report.schedule);
  const sensors = createSensing(config, clock);
  await machine.health();
  sensors.open({ urgent() {}, event() {} });
  await clock.sleep(listenMs);
  const ports = sensors.ports();
  const chips = namesGpio(config) ? await findChips() : [];
  const report = buildReport({
    device,
    incarnation: identity?.incarnation ?? '-----------',
    start: identity?.start ?? 1,
    sequence: 0,
    bootId: await machine.bootId(),
    uptime: clock.monotonic(),
    segment: clock.segment(),
    wall: clock.wall(),
    trigger: { kind: 'schedule' },
    nextWithinMs: nextWithinMs(scheduleGapMs, config.report.jitterSeconds * 1000),
    ask: null,
    readings: sensors.readings(),
    exchanges: [],
    host: await machine.health(),
    agentVersion: AGENT_VERSION,
    outbox: { waiting: waiting.length, droppedRoutine: 0, droppedEvents: 0 },
  });
  await sensors.close();
  return {
    report,
    ports,
    chips,
    identity,
    keyPlace: keyPlace(config),
    enrolment,
    eventsWaiting: waiting.filter(({ event }) => event).length,
  };
}

async function enrolmentOn(disk: Pick<Disk, 'read'>): Promise<EnrolmentState | null> {
  const record = await readRecord(disk);
  if (record === null) return null;
  const { member, retired, keyList } = record;
  const { version } = await keptKeyList(keyList);
  if (member === null) return { device: null, retired, keyListVersion: version, certificate: null };
  const { notBefore, notAfter, renewAfter } = member.certificate;
  return { device: member.device, retired, keyListVersion: version, certificate: { notBefore, notAfter, renewAfter } };
}
