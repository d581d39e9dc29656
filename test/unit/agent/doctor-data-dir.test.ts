import { judgeOwner, judgeRoom } from '@paddock/agent/doctor.ts';
import { describe, expect, it } from 'vitest';

describe('the doctor', () => {
  it('touches nothing of a data directory of another user, and says as whom to ask', () => {
    expect(judgeOwner('/data', 103, 0)).toMatchObject({ status: 'fail', code: 'data_dir_owner' });
    expect(judgeOwner('/data', 103, 0)?.message).toContain('runuser -u "$(id -nu 103)" -- paddock-agent doctor');
    expect(judgeOwner('/data', 103, 103)).toBeNull();
    expect(judgeOwner('/data', null, 0)).toBeNull();
  });

  it('warns before the disk is full', () => {
    expect(judgeRoom('/data', 40 * 1024 * 1024)).toMatchObject({ status: 'ok', message: '40 MiB are free for /data' });
    expect(judgeRoom('/data', 31 * 1024 * 1024)).toMatchObject({ status: 'warn', code: 'disk_low' });
  });
});
