import { BundleError } from '@paddock/shared/bundle-error.ts';
import { Refusal, type RefusalCode } from '@paddock/shared/errors.ts';
import { KeyError } from '@paddock/shared/keys.ts';
import { FleetError, type FleetErrorKind } from '../customers/errors.ts';
import { CursorError } from '../devices/cursor.ts';
import { KeyListError } from '../trust/key-lists.ts';
import { AwsTransportError } from '../aws/errors.ts';
import { EnrolmentError, type EnrolmentErrorKind } from '../enrolment/errors.ts';
import { TrustError, type TrustErrorCode } from '../trust/errors.ts';
import { RolloutError, type RolloutErrorKind } from '../rollouts/errors.ts';
import { RepositoryError, type RepositoryErrorKind } from '../tuf/repository-error.ts';

/**
 * Problem details (RFC 9457). `code` is stable, and what clients switch on; titles may change.
 * One row a code: the HTTP status it travels with.
 */
export const PROBLEMS = {
  request_invalid: { status: 400, title: 'The request does not fit its schema' },
  body_malformed: { status: 400, title: 'The body is not JSON' },
  cursor_invalid: { status: 400, title: 'The cursor is not one that this list gave out' },
  event_id_invalid: { status: 400, title: 'Last-Event-ID is not one that this stream gave out' },
  token_missing: { status: 401, title: 'A bearer token is needed' },
  token_invalid: { status: 401, title: 'The bearer token is not valid' },
  message_refused: { status: 400, title: 'The signed message is refused' },
  device_forbidden: { status: 403, title: 'The device is not let in' },
  scope_forbidden: { status: 403, title: 'The token is not allowed to do this' },
  not_found: { status: 404, title: 'There is nothing under this address' },
  conflict: { status: 409, title: 'The request contradicts what is there' },
  precondition_failed: { status: 412, title: 'It was changed since: read it again' },
  body_too_large: { status: 413, title: 'The body is larger than this service takes' },
  media_type_unsupported: { status: 415, title: 'The body is not of a type that this address takes' },
  precondition_required: { status: 428, title: 'An edit needs If-Match with the ETag that was read' },
  too_many_failures: { status: 429, title: 'Too many wrong tokens from this address' },
  too_many: { status: 429, title: 'Too many: come again later' },
  internal: { status: 500, title: 'The service failed; its log says more' },
  unavailable: { status: 503, title: 'The service cannot answer now' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Where a request does not fit, as a JSON pointer into that part of it. */
export interface Misfit {
  readonly in: string;
  readonly pointer: string;
  readonly code: 'property_unknown' | 'property_missing' | 'value_invalid';
  readonly detail: string;
}

/** The body of a refusal, as application/problem+json. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly errors?: readonly Misfit[];
}

/** Thrown by routes; becomes a {@link Problem}. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly code: ProblemCode;
  readonly errors: readonly Misfit[] | undefined;

  constructor(code: ProblemCode, detail?: string, errors?: readonly Misfit[]) {
    super(detail ?? PROBLEMS[code].title);
    this.code = code;
    this.errors = errors;
  }
}

/** What the codes of the HTTP framework mean in ours, and of the database: U+0000 in a text, a day that never is. */
const FRAMEWORK_CODES: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'media_type_unsupported',
  FST_ERR_CTP_INVALID_JSON_BODY: 'body_malformed',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'body_malformed',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'body_malformed',
  FST_ERR_BAD_URL: 'not_found',
  '22007': 'request_invalid',
  '22008': 'request_invalid',
  '22021': 'request_invalid',
};

/** What the kinds of refusal of the fleet's records mean. */
const FLEET_KINDS = {
  missing: 'not_found',
  exists: 'conflict',
  stale: 'precondition_failed',
  refused: 'conflict',
  forbidden: 'scope_forbidden',
  invalid: 'request_invalid',
} as const satisfies Record<FleetErrorKind, ProblemCode>;

const KEY_LIST_KINDS = {
  key_list_invalid: 'request_invalid',
  authority_unknown: 'not_found',
  authority_unlisted: 'conflict',
  authority_in_use: 'conflict',
  key_list_out_of_step: 'conflict',
} as const satisfies Record<KeyListError['code'], ProblemCode>;
/** What the kinds of refusal of enrolment mean. */
const ENROLMENT_KINDS = {
  invalid: 'request_invalid',
  forbidden: 'device_forbidden',
  missing: 'not_found',
  exists: 'conflict',
  stale: 'precondition_failed',
  refused: 'conflict',
  flood: 'too_many',
  unready: 'unavailable',
} as const satisfies Record<EnrolmentErrorKind, ProblemCode>;

/** What the kinds of refusal of the repository of firmware, and of assignments, mean. */
const REPOSITORY_KINDS = {
  missing: 'not_found',
  invalid: 'request_invalid',
  refused: 'conflict',
} as const satisfies Record<RepositoryErrorKind | RolloutErrorKind, ProblemCode>;

/** The database is away, full or busy: SQLSTATE classes 08, 40, 53 and 57, or the system's codes of connections. */
const UNAVAILABLE =
  /^(08...|40...|53...|57...|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE|ENOENT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;
/** What the database's client says without a code when a connection breaks or none comes. */
const CONNECTION_LOST = /^(Connection terminated|timeout exceeded when trying to connect)/;

/** What a thrown thing means for the client. Nothing of an unexpected error reaches it. */
export function problemOf(error: unknown): Problem {
  if (error instanceof HttpError) return problem(error.code, error.message, error.code, error.errors);
  const refused = refusalOf(error);
  if (refused !== null) return refused;
  if (error instanceof Refusal) return problem(ofRefusal(error.code), error.message, error.code);
  if (error instanceof KeyError || error instanceof TrustError)
    return problem(ofCredential(error.code), error.message, error.code);
  // What exactly AWS said is in the log.
  if (error instanceof AwsTransportError) return problem('unavailable', undefined, error.code);
  const code = codeOf(error);
  if (code === null) return problem(isConnectionLost(error) ? 'unavailable' : 'internal');
  if (error instanceof CursorError) return problem(error.code, error.message);
  const ours = FRAMEWORK_CODES[code];
  if (ours !== undefined) return problem(ours);
  if (UNAVAILABLE.test(code)) return problem('unavailable');
  return problem('internal');
}

/** What features refuse by tables of their own; null for anything else. */
function refusalOf(error: unknown): Problem | null {
  if (error instanceof FleetError) return problem(FLEET_KINDS[error.kind], error.message, error.code);
  if (error instanceof KeyListError) return problem(KEY_LIST_KINDS[error.code], error.message, error.code);
  if (error instanceof EnrolmentError) return problem(ENROLMENT_KINDS[error.kind], error.message, error.code);
  if (error instanceof RepositoryError || error instanceof RolloutError)
    return problem(REPOSITORY_KINDS[error.kind], error.message, error.code);
  if (error instanceof BundleError) return problem('request_invalid', error.message, error.code);
  return null;
}

function problem(kind: ProblemCode, detail?: string, code: string = kind, errors?: readonly Misfit[]): Problem {
  const { status, title } = PROBLEMS[kind];
  return {
    type: 'about:blank',
    title,
    status,
    code,
    ...(detail !== undefined && detail !== title && { detail }),
    ...(errors && { errors }),
  };
}

function ofCredential(code: TrustErrorCode | KeyError['code']): ProblemCode {
  if (code === 'ca_unfit') return 'unavailable';
  if (code === 'certificates_too_many') return 'too_many';
  return code === 'csr_key_revoked' ? 'device_forbidden' : 'message_refused';
}

const ofRefusal = (code: RefusalCode): ProblemCode =>
  code === 'envelope_too_large' ? 'body_too_large' : 'message_refused';

const isConnectionLost = (error: unknown): boolean => error instanceof Error && CONNECTION_LOST.test(error.message);

function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
