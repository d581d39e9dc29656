import { createServer } from 'node:net';

/**
 * Looks before anything is started whether our ports are free.
 * @throws Error that names the port and the variable that changes it
 */
export async function requireFreePorts(ports: Readonly<Record<string, number>>): Promise<void> {
  for (const [variable, port] of Object.entries(ports)) {
    const code = await whyTaken(port);
    if (code === 'EADDRINUSE')
      throw new Error(`Port ${port} is taken. Choose another one, such as: ${variable}=${port + 1} npm start`);
    if (code !== null) throw new Error(`Port ${port} cannot be used (${code}). Choose another one with ${variable}.`);
  }
}

async function whyTaken(port: number): Promise<string | null> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<string | null>();
  server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(null)));
  return promise;
}
