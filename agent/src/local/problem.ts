import { LOCAL_PROBLEMS, type LocalProblem, type LocalReply } from '../ports-local.ts';

/** Thrown by whoever answers a request; becomes the body of the answer. */
export class LocalError extends Error {
  override readonly name = 'LocalError';
  /** One of the table, or of another feature's. */
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: LocalProblem, detail?: string, retryAfterSeconds?: number) {
    super(detail === undefined ? LOCAL_PROBLEMS[code].title : `${LOCAL_PROBLEMS[code].title}: ${detail}`);
    this.code = code;
    this.status = LOCAL_PROBLEMS[code].status;
    this.title = LOCAL_PROBLEMS[code].title;
    this.detail = detail;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Problem details (RFC 9457). */
export const problemReply = (
  { status, title, code, detail }: Pick<LocalError, 'status' | 'title' | 'code' | 'detail'>,
  retryAfterSeconds?: number,
): LocalReply => ({
  status,
  body: { type: 'about:blank', title, status, code, ...(detail !== undefined && { detail }) },
  ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
});

/** Of a code of the table. */
export const refusal = (code: LocalProblem, retryAfterSeconds?: number): LocalReply =>
  problemReply({ ...LOCAL_PROBLEMS[code], code, detail: undefined }, retryAfterSeconds);
