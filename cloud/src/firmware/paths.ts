/** What names everything else, and is the one file whose content changes. */
export const TIMESTAMP = 'metadata/timestamp.json';

const PATHS = [
  /^metadata\/timestamp\.json$/,
  /^metadata\/[1-9][0-9]{0,15}\.(root|targets|snapshot)\.json$/,
  /^targets\/[a-z0-9][a-z0-9-]{0,62}\/[0-9a-f]{64}\.[1-9][0-9]{0,15}\.json$/,
  /^packs\/[0-9a-f]{64}\/(all|from-[0-9a-f]{64})\.pack$/,
];

/** Whether a file of the repository can have this path. Nothing else is looked for on the disk. */
export const isRepositoryPath = (path: string): boolean => PATHS.some((pattern) => pattern.test(path));
