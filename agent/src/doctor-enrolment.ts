import type { VerificationKey } from '@paddock/shared/keys.ts';
import { diskReader } from './adapters/disk.ts';
import { addressOf, connectTls } from './adapters/tls.ts';
import type { AgentConfig } from './config.ts';
import { keptKeyList, type Listed } from './enrol/key-lists.ts';
import type { Pin } from './enrol/pin.ts';
import { readRecord, type EnrolmentRecord, type Member } from './enrol/record.ts';
import { pemOf } from './enrol/membership.ts';
import { checkOwnCertificate } from './enrol/request.ts';
import { serviceOn } from './enrol/service.ts';
import { tlsKeyOf } from './enrol/tls-key.ts';
import type { Finding } from './finding.ts';
import { MQTTS_PORT, readPin, webOpener } from './joining.ts';
import type { Clock, ServerTrust } from './ports.ts';
import { codeOf } from './report/log.ts';
import type { Connecting } from './speaking.ts';

/** What the doctor finds of enrolment, and how it may try the broker; null where something for that is missing. */
export interface EnrolmentCheck {
  readonly findings: readonly Finding[];
  readonly connecting: Connecting | null;
}

/** Checks what is pinned, the service, the list of keys and the certificate. Asks for nothing, and changes nothing. */
export async function checkEnrolment(
  config: AgentConfig,
  identity: VerificationKey | null,
  clock: Clock,
): Promise<EnrolmentCheck> {
  let pin: Pin | null;
  try {
    pin = await readPin(config);
  } catch (cause) {
    return { findings: [failed('enrolment', cause)], connecting: null };
  }
  if (pin === null) return { findings: [], connecting: null };
  const record = await readRecord(diskReader(config.dataDir));
  const list = record === null || record.keyList === '' ? null : await keptKeyList(record.keyList);
  const findings = [
    checkPin(pin, record, identity),
    await checkService(pin, list, clock),
    checkList(list),
    checkCertificate(record?.member ?? null),
  ];
  const member = record?.retired === false && findings.at(-1)?.status === 'ok' ? record.member : null;
  return { findings, connecting: member && list ? connectingAs(config, member, list, clock) : null };
}

function checkPin({ url, root }: Pin, record: EnrolmentRecord | null, identity: VerificationKey | null): Finding {
  const check = 'enrolment';
  if (record !== null && record.pinned !== root.thumbprint)
    return { check, status: 'warn', code: 'enrolment_other_root', message: 'Enrolled under another fleet root before' };
  if (record !== null && identity !== null && record.identity !== identity.thumbprint)
    return { check, status: 'warn', code: 'enrolment_other_key', message: 'Enrolled with another identity key before' };
  if (record?.retired)
    return { check, status: 'fail', code: 'enrolment_retired', message: 'The cloud has retired this device for good' };
  const device = record?.member?.device;
  if (device !== undefined) return { check, status: 'ok', message: `Enrolled as ${device} at ${url}` };
  const message = `Not enrolled yet at ${url}; the fingerprint is ${identity?.thumbprint ?? 'not there yet'}`;
  return { check, status: 'warn', code: 'enrolment_missing', message };
}

async function checkService({ url, ca }: Pin, list: Listed | null, clock: Clock): Promise<Finding> {
  const check = 'enrolment service';
  const trust: ServerTrust = {
    authorities: list?.authorities ?? [],
    fingerprint: list === null ? ca : null,
    time: null,
  };
  const web = (await webOpener(url, clock))(trust);
  try {
    await serviceOn(web).keyList(null);
    return { check, status: 'ok', message: `${url} has a certificate of the pinned authority` };
  } catch (cause) {
    return failed(check, cause);
  } finally {
    web.close();
  }
}

const checkList = (list: Listed | null): Finding =>
  list === null
    ? { check: 'list of keys', status: 'warn', code: 'key_list_missing', message: 'None yet: it comes with enrolment' }
    : {
        check: 'list of keys',
        status: 'ok',
        message: `Version ${list.version}: ${list.keys.map(({ keyId }) => keyId).join(', ')}`,
      };

function checkCertificate(member: Member | null): Finding {
  const check = 'certificate';
  if (member === null)
    return { check, status: 'warn', code: 'certificate_missing', message: 'None yet: it comes with enrolment' };
  try {
    checkOwnCertificate(member.certificate.chain[0] ?? '', member.device, tlsKeyOf(member.tlsKey));
    const { notAfter, renewAfter } = member.certificate;
    return { check, status: 'ok', message: `Valid until ${notAfter}, to be renewed from ${renewAfter} on` };
  } catch (cause) {
    return failed(check, cause);
  }
}

function connectingAs(
  { cloud }: AgentConfig,
  { device, mqttUrl, certificate, tlsKey: key }: Member,
  { authorities }: Listed,
  clock: Clock,
): Connecting {
  const url = cloud.url ?? mqttUrl ?? '';
  const client = { key, cert: certificate.chain.map(pemOf).join('') };
  // Dates are the running agent's to judge: it knows the time.
  const trust: ServerTrust = { authorities, fingerprint: null, time: null };
  const dial = () => connectTls(addressOf(url, MQTTS_PORT), trust, client, clock);
  return { device, url, keepAliveSeconds: cloud.keepAliveSeconds, dial };
}

const failed = (check: string, cause: unknown): Finding => ({
  check,
  status: 'fail',
  code: codeOf(cause),
  message: cause instanceof Error ? cause.message : String(cause),
});
