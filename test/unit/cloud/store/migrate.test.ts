import { describe, expect, test } from 'vitest';
import { type Migration, nextMigration } from '@paddock/cloud/store/migrate.ts';

const file = (number: number, checksum = 'same'): Migration => ({
  number,
  name: `00000${number}_m`,
  sql: '',
  checksum,
});
const FILES = [file(1), file(2), file(3)];

describe('the next migration', () => {
  test('is the first one that did not run', () => {
    expect(nextMigration(FILES, [])).toBe(FILES[0]);
    expect(nextMigration(FILES, [file(1)])).toBe(FILES[1]);
    expect(nextMigration(FILES, FILES)).toBeNull();
    expect(nextMigration([], [])).toBeNull();
  });

  test.each([
    ['migration_changed', FILES, [file(1, 'other')]],
    ['migration_changed', FILES, [{ ...file(1), name: '000001_renamed' }]],
    ['migration_changed', [file(1), file(3)], [file(2)]],
    ['database_newer', FILES, [file(1), file(2), file(3), file(4)]],
    ['migration_out_of_order', FILES, [file(1), file(3)]],
  ])('%s when the database and the files do not belong together', (code, files, applied) => {
    expect(() => nextMigration(files, applied)).toThrow(expect.objectContaining({ code }));
  });
});
