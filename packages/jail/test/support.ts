import type { UnixSocket } from '@tsvmm/base';
import { type Jail, JailedProcess, loadPolicy } from '../src/index.ts';

function options(program: string) {
  return { name: program, program: new URL(`./programs/${program}.ts`, import.meta.url) };
}

/** Starts `programs/NAME.ts` in a jail, under the common policy unless another one is given. */
export function start(program: string, jail: Partial<Jail> = {}): Promise<JailedProcess> {
  return JailedProcess.start({
    ...options(program),
    jail: { policy: loadPolicy('common'), ...jail },
    nodeOptions: ['--experimental-ffi'],
  });
}

/** Starts `programs/NAME.ts` as a plain child process. */
export function startPlain(program: string): Promise<JailedProcess> {
  return JailedProcess.start(options(program));
}

/** The next message as text, or undefined when the other side has ended. */
export async function receive(link: UnixSocket): Promise<string | undefined> {
  const buffer = new Uint8Array(4096);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  using _watcher = link.onReadable(() => {
    const message = link.tryReceiveMessage(buffer);
    if (message !== undefined) {
      resolve(message.length === 0 ? undefined : Buffer.from(buffer.subarray(0, message.length)).toString());
    }
  });
  return await promise;
}
