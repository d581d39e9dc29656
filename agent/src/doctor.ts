import { stat, statfs } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { readCloudKeys } from './adapters/cloud-keys.ts';
import { longestGapMs } from './adapters/cron.ts';
import { DataDirError, explainDataDir, lockDataDir } from './adapters/data-dir-lock.ts';
import { openDisk } from './adapters/disk.ts';
import { createMqttLink } from './adapters/mqtt.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import { checkGpio } from './doctor-gpio.ts';
import { checkKey } from './doctor-key.ts';
import { checkLocal } from './doctor-local.ts';
import { checkPorts } from './doctor-ports.ts';
import { checkRauc } from './doctor-rauc.ts';
import { checkService } from './doctor-service.ts';
import { checkTime } from './doctor-time.ts';
import { checkEnrolment } from './doctor-enrolment.ts';
import type { Finding } from './finding.ts';
import type { IdentityKey } from './identity-key.ts';
import { linkOptions, type Connecting } from './speaking.ts';
import type { Clock } from './ports.ts';
import { codeOf } from './report/log.ts';

const CONNECT_WITHIN_MS = 8_000;

/** Checks everything that the agent needs, one finding a thing. */
export async function examine(config: AgentConfig, listenMs: number): Promise<Finding[]> {
  const clock = createSystemClock();
  const dataDir = await checkDataDir(config.dataDir);
  const running = dataDir.code === 'data_dir_in_use';
  const { findings: keyFindings, key } = await checkKey(config, clock);
  const time = await checkTime(config, clock);
  const { findings: enrolment, connecting } = await checkEnrolment(config, key?.public ?? null, clock);
  const [cloudKeys, broker, ports, service, rauc] = await Promise.all([
    enrolment.length > 0 ? null : checkCloudKeys(config.cloud.keys),
    checkBroker(connecting ?? registered(config), key, running, clock),
    running ? Promise.resolve([skipped('ports')]) : checkPorts(config, clock, listenMs),
    checkService(config, clock),
    checkRauc(config, clock),
  ]);
  key?.close();
  const configuration: Finding = { check: 'configuration', status: 'ok', message: `${config.file} can be used` };
  return [
    configuration,
    ...service,
    ...rauc,
    checkSchedule(config),
    time,
    dataDir,
    await checkRoom(config.dataDir),
    ...keyFindings,
    ...enrolment,
    ...(cloudKeys === null ? [] : [cloudKeys]),
    broker,
    ...(await checkLocal(config, running)),
    ...ports,
    ...(await checkGpio(config)),
  ];
}

/** A device that was registered by hand; null for one that has yet to enrol. */
function registered({ device, cloud: { url, keepAliveSeconds } }: AgentConfig): Connecting | null {
  return device === undefined || url === undefined ? null : { device, url, keepAliveSeconds };
}

function checkSchedule({ report }: AgentConfig): Finding {
  try {
    const seconds = Math.round(longestGapMs(report.schedule) / 1000);
    return { check: 'schedule', status: 'ok', message: `"${report.schedule}" reports at least every ${seconds} s` };
  } catch (cause) {
    return failed('schedule', cause);
  }
}

async function checkDataDir(dir: string): Promise<Finding> {
  try {
    const foreign = judgeOwner(dir, (await stat(dir).catch(() => null))?.uid ?? null, userInfo().uid);
    if (foreign !== null) return foreign;
    const release = lockDataDir(dir);
    try {
      const disk = await openDisk(dir);
      await disk.replace('doctor', new Uint8Array([1]));
      await disk.remove('doctor');
    } finally {
      release();
    }
    return { check: 'data directory', status: 'ok', message: `${dir} can be written` };
  } catch (cause) {
    if (!(cause instanceof DataDirError) || cause.code !== 'data_dir_in_use')
      return failed('data directory', explainDataDir(dir, cause));
    return { check: 'data directory', status: 'warn', code: cause.code, message: `An agent is running on ${dir}` };
  }
}

/** What another user writes there, the lock to begin with, would lock the agent out. @param owner null: it is yet to be made */
export function judgeOwner(dir: string, owner: number | null, self: number): Finding | null {
  if (owner === null || owner === self) return null;
  const message = `${dir} belongs to the user ${owner}, and this is ${self}: nothing was tried there. As that user: runuser -u "$(id -nu ${owner})" -- paddock-agent doctor`;
  return { check: 'data directory', status: 'fail', code: 'data_dir_owner', message };
}

/** Below it the outbox, a new certificate or the journal of an update may find no room. */
const LEAST_FREE_BYTES = 32 * 1024 * 1024;

async function checkRoom(dir: string): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(dir);
    return judgeRoom(dir, bavail * bsize);
  } catch (cause) {
    return failed('disk', explainDataDir(dir, cause));
  }
}

export function judgeRoom(dir: string, freeBytes: number): Finding {
  const message = `${Math.round(freeBytes / 1024 / 1024)} MiB are free for ${dir}`;
  if (freeBytes >= LEAST_FREE_BYTES) return { check: 'disk', status: 'ok', message };
  return { check: 'disk', status: 'warn', code: 'disk_low', message: `${message}: make room there` };
}

async function checkCloudKeys(file: string): Promise<Finding> {
  try {
    const keys = await readCloudKeys(file);
    return {
      check: 'cloud keys',
      status: 'ok',
      message: `${keys.length} pinned: ${keys.map(({ keyId }) => keyId).join(', ')}`,
    };
  } catch (cause) {
    return failed('cloud keys', cause);
  }
}

/** Connects just as the agent does; a second connection of a running agent's device would end its first. */
async function checkBroker(
  connecting: Connecting | null,
  key: IdentityKey | null,
  running: boolean,
  clock: Clock,
): Promise<Finding> {
  if (running) return skipped('broker');
  if (key === null) return skipped('broker', 'without a key there is nothing to connect as');
  if (connecting === null) return skipped('broker', 'the device has yet to enrol');
  const { device, url } = connecting;
  const link = createMqttLink(linkOptions(connecting, key.signer), clock);
  const reason = await new Promise<string | null>((resolve) => {
    link.open({ online: () => resolve(null), offline: resolve, message() {} });
    void clock.sleep(CONNECT_WITHIN_MS).then(() => resolve('no answer in time'));
  });
  await link.close();
  if (reason === null) return { check: 'broker', status: 'ok', message: `Connected to ${url} as ${device}` };
  const message = `${url} cannot be reached (${reason}): check cloud.url, the network and the broker`;
  return { check: 'broker', status: 'fail', code: 'broker_unreachable', message };
}

const skipped = (check: string, why = 'an agent is running and has it'): Finding => ({
  check,
  status: 'warn',
  code: 'not_checked',
  message: `Not checked: ${why}`,
});

const failed = (check: string, cause: unknown): Finding => ({
  check,
  status: 'fail',
  code: codeOf(cause),
  message: cause instanceof Error ? cause.message : String(cause),
});
