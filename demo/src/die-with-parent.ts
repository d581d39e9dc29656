import koffi from 'koffi';

/**
 * Loaded before a child's own program (`node --import`): the kernel ends the child when we are gone, however
 * we went (prctl(2), PR_SET_PDEATHSIG). So not even kill -9 of the demonstration leaves a process behind.
 */
const PR_SET_PDEATHSIG = 1;
const SIGTERM = 15;

const prctl = koffi.load('libc.so.6').func('int prctl(int option, ulong arg2, ulong arg3, ulong arg4, ulong arg5)');
if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) !== 0) process.stderr.write('prctl failed: the child may outlive us\n');
