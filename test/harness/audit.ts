import type { Audit, AuditEntry } from '@paddock/cloud/ports.ts';

/** An audit log in memory, for tests of those who write it. */
export class CollectedAudit implements Audit {
  readonly entries: AuditEntry[] = [];

  async add(entry: AuditEntry): Promise<void> {
    this.entries.push(entry);
  }

  /** `action:code` of what was refused, in order. */
  get refused(): string[] {
    return this.entries.filter(({ result }) => result === 'refused').map(({ action, code }) => `${action}:${code}`);
  }
}
