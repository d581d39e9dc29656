import * as Type from 'typebox';
import { Check } from 'typebox/value';
import { Nonce } from '@paddock/shared/message.ts';
import type { Web, WebAnswer } from '../ports.ts';
import { EnrolError } from './enrol-error.ts';

const PATHS = { nonces: '/enrol/v1/nonces', requests: '/enrol/v1/requests', keys: '/enrol/v1/keys' } as const;

const Given = Type.Object({ nonce: Nonce });
const Problem = Type.Object({ code: Type.String({ maxLength: 64 }) });

/** What the enrolment of the cloud offers (docs/protocol.md). */
export interface EnrolmentService {
  nonce(): Promise<string>;
  /** @param jws the signed request @returns the signed answer */
  request(jws: string): Promise<string>;
  /** @param version null for the newest @returns a sealed list, not yet proved */
  keyList(version: number | null): Promise<string>;
}

/** All throw EnrolError `service_refused` with the cloud's own code, or `service_malformed`. */
export const serviceOn = (web: Web): EnrolmentService => ({
  async nonce() {
    const given = jsonOf(taken(await web.call('POST', PATHS.nonces)).body);
    if (!Check(Given, given)) throw new EnrolError('service_malformed', 'no nonce');
    return given.nonce;
  },
  request: async (jws) =>
    taken(await web.call('POST', PATHS.requests, { type: 'application/jose', text: jws })).body.trim(),
  keyList: async (version) =>
    taken(await web.call('GET', version === null ? PATHS.keys : `${PATHS.keys}/${version}`)).body.trim(),
});

function taken(answer: WebAnswer): WebAnswer {
  const { status, body, retryAfterSeconds } = answer;
  if (status >= 200 && status < 300) return answer;
  const problem = jsonOf(body);
  const code = Check(Problem, problem) ? problem.code : `http_${status}`;
  throw new EnrolError('service_refused', code, { refusal: { code, retryAfterSeconds } });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
