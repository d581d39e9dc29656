import { FleetError } from './errors.ts';

const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const MAX_TEXT = 200;

/** The id of a customer, a site or a model. @throws FleetError `id_invalid` */
export function checkedId(id: string): string {
  if (!ID.test(id))
    throw new FleetError('id_invalid', 'use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit');
  return id;
}

/** A name or another text that people write. @throws FleetError `text_invalid` */
export function checkedText(text: string): string {
  const bad = text.trim() === '' || text.length > MAX_TEXT || text.includes('\0') || !text.isWellFormed();
  if (bad) throw new FleetError('text_invalid', `use 1 to ${MAX_TEXT} characters`);
  return text;
}

/** @throws FleetError `text_invalid` */
export const checkedOptional = (text: string | null): string | null => (text === null ? null : checkedText(text));

/** @throws FleetError `time_zone_invalid` */
export function checkedTimeZone(timeZone: string): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone }).resolvedOptions().timeZone && timeZone;
  } catch (cause) {
    throw new FleetError('time_zone_invalid', JSON.stringify(timeZone), { cause });
  }
}
