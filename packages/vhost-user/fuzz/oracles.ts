import { readdirSync } from 'node:fs';

/** @throws Error when an error is none of those that the other side may cause */
export function isKindOf(error: unknown, kinds: readonly (new (...args: never[]) => Error)[]): void {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof TypeError || cause instanceof RangeError) {
      throw new Error('the other side made code fail that should have refused', { cause });
    }
  }
  if (error !== undefined && !kinds.some((kind) => error instanceof kind)) {
    throw new Error('an error that is none of the protocol', { cause: error });
  }
}

/** Rejects when something leaves descriptors open. */
export async function checkNoDescriptorLeft(action: () => Promise<void>): Promise<void> {
  const before = openDescriptors();
  await action();
  // Sockets close with the turn of the event loop that follows.
  for (let turn = 0; turn < 100 && openDescriptors() > before; turn++) await new Promise(setImmediate);
  const left = openDescriptors() - before;
  if (left > 0) throw new Error(`${left} descriptors are left open`);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
