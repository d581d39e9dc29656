import { HttpError } from './problem.ts';

/** The version of what people edit, as an entity tag (RFC 9110, section 8.8.3). */
export const etagOf = (version: number): string => `"${version}"`;

const TAG = /^"(\d{1,9})"$/;

/**
 * The version that an edit was made from. One strong tag: `*` and weak tags would overwrite what nobody has read.
 * @throws HttpError `precondition_required` or `precondition_failed`
 */
export function editedVersion(ifMatch: string | undefined): number {
  const version = TAG.exec(editedTag(ifMatch))?.[1];
  if (version === undefined) throw new HttpError('precondition_failed', 'If-Match must be the ETag that was read');
  return Number(version);
}

/** The tag that an edit was made from, of whatever form. @throws HttpError `precondition_required` */
export function editedTag(ifMatch: string | undefined): string {
  if (ifMatch === undefined) throw new HttpError('precondition_required');
  return ifMatch.trim();
}
