import { randomBytes } from 'node:crypto';
import type { TokenErrorCode } from './adapters/pkcs11/error.ts';
import type { AgentConfig } from './config.ts';
import type { Finding } from './finding.ts';
import { keyPlace, openIdentityKey, type IdentityKey } from './identity-key.ts';
import type { Clock } from './ports.ts';
import { codeOf } from './report/log.ts';

/** What a key on a token needs, in the order in which it is looked at. */
const STEPS = ['token library', 'token', 'identity key', 'trial signature'] as const;
type Step = (typeof STEPS)[number];

/** The check that a trouble with a token belongs to; every other one is about the key itself. */
const STEP_OF: Partial<Record<TokenErrorCode, Step>> = {
  addon_missing: 'token library',
  module_missing: 'token library',
  module_invalid: 'token library',
  module_failed: 'token library',
  token_missing: 'token',
  token_ambiguous: 'token',
  token_failed: 'token',
  pin_file_missing: 'token',
  pin_file_readable: 'token',
  pin_file_invalid: 'token',
  pin_refused: 'token',
  pin_locked: 'token',
};

/** Opens the key as the agent does, and lets it sign once. The caller closes it. */
export async function checkKey(
  config: AgentConfig,
  clock: Clock,
): Promise<{ findings: Finding[]; key: IdentityKey | null }> {
  try {
    const key = await openIdentityKey(config, clock);
    return { key, findings: [...tokenFindings(key), keyFinding(config, key), await trialSignature(key, clock)] };
  } catch (cause) {
    return { key: null, findings: config.key.pkcs11 === undefined ? [failed('identity key', cause)] : upTo(cause) };
  }
}

const tokenFindings = ({ token }: IdentityKey): Finding[] =>
  token === null
    ? []
    : [
        { check: 'token library', status: 'ok', message: token.module },
        { check: 'token', status: 'ok', message: `${token.token}: logged in` },
      ];

function keyFinding(config: AgentConfig, { signer, public: { thumbprint }, token }: IdentityKey): Finding {
  const check = 'identity key';
  const message = `${signer.algorithm}, fingerprint ${thumbprint}, ${keyPlace(config)}`;
  if (!token?.extractable) return { check, status: 'ok', message };
  const advice = 'the token would give it away (CKA_EXTRACTABLE): let "paddock-agent init" make one';
  return { check, status: 'warn', code: 'key_extractable', message: `${message}; ${advice}` };
}

async function trialSignature({ signer }: IdentityKey, clock: Clock): Promise<Finding> {
  const check = 'trial signature';
  try {
    const before = clock.monotonic();
    await signer.sign(randomBytes(1_000));
    return { check, status: 'ok', message: `made and verified in ${clock.monotonic() - before} ms` };
  } catch (cause) {
    return failed(check, cause);
  }
}

/** What was reached before the trouble is well, what comes behind it was not looked at. */
function upTo(cause: unknown): Finding[] {
  const at = STEPS.indexOf(STEP_OF[codeOf(cause) as TokenErrorCode] ?? 'identity key');
  return STEPS.map((check, n) => {
    if (n < at) return { check, status: 'ok', message: 'reached' };
    if (n === at) return failed(check, cause);
    return {
      check,
      status: 'warn',
      code: 'not_checked',
      message: `Not checked: there is trouble with the ${STEPS[at]}`,
    };
  });
}

const failed = (check: string, cause: unknown): Finding => ({
  check,
  status: 'fail',
  code: codeOf(cause),
  message: cause instanceof Error ? cause.message : String(cause),
});
