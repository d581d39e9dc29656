/** Debian's architectures that packages are built for. */
export const ARCHITECTURES = {
  amd64: {
    node: 'x64',
    loader: '/lib64/ld-linux-x86-64.so.2',
    tools: 'x86_64-linux-gnu',
    serial: 'linux-x64/@serialport+bindings-cpp.glibc.node',
  },
  arm64: {
    node: 'arm64',
    loader: '/lib/ld-linux-aarch64.so.1',
    tools: 'aarch64-linux-gnu',
    serial: 'linux-arm64/@serialport+bindings-cpp.armv8.glibc.node',
  },
} as const;

export type Architecture = keyof typeof ARCHITECTURES;

export const isArchitecture = (name: string): name is Architecture => Object.hasOwn(ARCHITECTURES, name);

/** The one of this machine; null when nothing is built for it. */
export const ownArchitecture = (): Architecture | null =>
  Object.keys(ARCHITECTURES)
    .filter(isArchitecture)
    .find((name) => ARCHITECTURES[name].node === process.arch) ?? null;
