/** What can be wrong with a line of a factory list. Codes are stable. */
export const LINE_FAULTS = {
  line_too_long: 'The line is longer than 16 KiB',
  csv_malformed: 'The line is not CSV as RFC 4180 has it',
  columns_wrong: 'The line has more or fewer fields than the header names',
  json_malformed: 'The item is not a JSON object',
  property_unknown: 'The item has a property that no column is called',
  serial_number_invalid: 'The serial number is missing, or not 2 to 64 letters, digits, spaces and . _ / -',
  key_missing: 'Neither a public key nor a fingerprint',
  key_unsupported: 'The public key is not a P-256 or Ed25519 key as a JWK',
  key_private: 'The key is a private one: it must not leave its device, and this one is known to others now',
  fingerprint_invalid: 'The fingerprint is not an RFC 7638 thumbprint (SHA-256, base64url)',
  fingerprint_mismatch: 'The fingerprint is not that of the public key',
  name_invalid: 'The name is empty, longer than 200 characters or not text',
  serial_number_twice: 'The serial number stood in this file before',
  key_twice: 'The key stood in this file before',
  serial_number_listed: 'The serial number is in the list with another key',
  key_listed: 'The key is in the list for another serial number',
  serial_number_registered: 'A registered device has this serial number',
  key_registered: 'A registered device has this key',
  model_unknown: 'The customer has no such model',
  site_unknown: 'The customer has no such site',
} as const satisfies Record<string, string>;
export type LineFault = keyof typeof LINE_FAULTS;

export interface BadLine {
  /** From 1; the first line of a record that goes over several. */
  readonly line: number;
  readonly code: LineFault;
  readonly detail?: string;
}

/** A record as it stands in the file, by column. */
export interface RawLine {
  readonly line: number;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Why a file cannot be read at all. */
export const FILE_FAULTS = {
  file_empty: 'There is nothing in the file',
  text_not_utf8: 'The file is not text in UTF-8',
  header_invalid: 'The first line has to name the columns: serialNumber, and fingerprint or publicKey',
  json_unfinished: 'The file ends within an item',
  file_too_long: 'The file has more than a million lines or 64 MiB',
} as const satisfies Record<string, string>;

export class ListFileError extends Error {
  override readonly name = 'ListFileError';
  readonly code: keyof typeof FILE_FAULTS;

  constructor(code: keyof typeof FILE_FAULTS, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? FILE_FAULTS[code] : `${FILE_FAULTS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** Names of columns and properties. */
export const COLUMNS = ['serialNumber', 'fingerprint', 'publicKey', 'model', 'site', 'name'] as const;
export type ColumnName = (typeof COLUMNS)[number];

/** A record may go over several lines, but not for ever. */
export const LONGEST_RECORD = 16_384;

/** Takes text as it comes, gives records as they are complete. */
export interface RecordReader {
  push(text: string): readonly (RawLine | BadLine)[];
  /** What was left. @throws ListFileError */
  end(): readonly (RawLine | BadLine)[];
}

export const isBad = (line: object): line is BadLine => 'code' in line;
