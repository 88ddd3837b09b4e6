import { GuestMemoryError } from '../error.ts';

const WASM_PAGE = 0x10000;
/** What 32-bit WebAssembly addresses reach. */
const MEMORY32_PAGES = 0x10000;

/** Zeroed memory that the threads of this process share, of at least `size` bytes, reserved but not yet occupied. */
export function createAnonymous(size: number): SharedArrayBuffer {
  const pages = Math.ceil(size / WASM_PAGE);
  const type =
    pages <= MEMORY32_PAGES
      ? { initial: pages, maximum: pages, shared: true }
      : { address: 'i64', initial: BigInt(pages), maximum: BigInt(pages), shared: true };
  try {
    // The cast: TypeScript's descriptor does not know 64-bit memories.
    return sharedBufferOf(new WebAssembly.Memory(type as WebAssembly.MemoryDescriptor));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new GuestMemoryError(
      'INVALID_LAYOUT',
      `This engine does not provide ${size} bytes of guest memory: ${error.message}`,
    );
  }
}

/** The bytes of a WebAssembly memory that threads share. */
export function sharedBufferOf(memory: WebAssembly.Memory): SharedArrayBuffer {
  const buffer: ArrayBufferLike = memory.buffer;
  if (buffer instanceof SharedArrayBuffer) return buffer;
  throw new GuestMemoryError('INVALID_LAYOUT', 'The WebAssembly.Memory must be made with shared: true');
}
