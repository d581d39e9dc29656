import type { TestContext } from 'vitest';

/** Whether this machine can make and run the virtual kiosk. */
export const CAN_BOOT = process.getuid?.() === 0 && process.arch === 'x64';

export const needsMachine = ({ skip }: TestContext): void =>
  skip(!CAN_BOOT, 'Only root makes the virtual kiosk, on Debian for amd64: run this test there');
