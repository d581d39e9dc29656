import { LOCAL_PROBLEMS, type LocalAnswer, type LocalProblem } from '../ports-local.ts';

/** What the head of an answer says besides. */
type Heads = Omit<LocalAnswer, 'status' | 'body'>;

/** Thrown by whoever answers a request; becomes the body of the answer. */
export class LocalError extends Error {
  override readonly name = 'LocalError';
  /** One of the table, or of another feature's. */
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string | undefined;
  readonly heads: Heads;

  constructor(code: LocalProblem, detail?: string, heads: Heads = {}) {
    super(detail === undefined ? LOCAL_PROBLEMS[code].title : `${LOCAL_PROBLEMS[code].title}: ${detail}`);
    this.code = code;
    this.status = LOCAL_PROBLEMS[code].status;
    this.title = LOCAL_PROBLEMS[code].title;
    this.detail = detail;
    this.heads = heads;
  }
}

/** Problem details (RFC 9457). */
export const problemReply = (
  { status, title, code, detail }: Pick<LocalError, 'status' | 'title' | 'code' | 'detail'>,
  heads: Heads = {},
): LocalAnswer => ({
  status,
  body: { type: 'about:blank', title, status, code, ...(detail !== undefined && { detail }) },
  ...heads,
});

/** Of a code of the table. */
export const refusal = (code: LocalProblem, heads: Heads = {}): LocalAnswer =>
  problemReply({ ...LOCAL_PROBLEMS[code], code, detail: undefined }, heads);
