/** What went wrong, in kinds that a caller handles alike. */
export type RolloutErrorKind = 'missing' | 'invalid' | 'refused';

/** Why an assignment is not made or not changed. Callers switch on codes; messages may change. */
export const ROLLOUT_ERRORS = {
  assignment_unknown: { kind: 'missing', title: 'No such assignment' },
  assignment_empty: { kind: 'refused', title: 'There is no device that it could take' },
  assignment_ended: { kind: 'refused', title: 'The assignment is completed or cancelled' },
  assignment_targets_invalid: { kind: 'invalid', title: 'An assignment is for a list of devices or for a filter' },
  release_unknown: { kind: 'missing', title: 'No such release is published' },
  release_withdrawn: { kind: 'refused', title: 'The release was withdrawn' },
} as const satisfies Record<string, { kind: RolloutErrorKind; title: string }>;
export type RolloutErrorCode = keyof typeof ROLLOUT_ERRORS;

export class RolloutError extends Error {
  override readonly name = 'RolloutError';
  readonly code: RolloutErrorCode;

  constructor(code: RolloutErrorCode, detail?: string) {
    super(detail === undefined ? ROLLOUT_ERRORS[code].title : `${ROLLOUT_ERRORS[code].title}: ${detail}`);
    this.code = code;
  }

  get kind(): RolloutErrorKind {
    return ROLLOUT_ERRORS[this.code].kind;
  }
}
