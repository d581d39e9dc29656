export { openPty, type Pty, type PtyMaster } from '../../demo/src/hardware/pty.ts';
