import { HypervisorError } from '../errors.ts';
import type { KvmState } from './architecture.ts';
import { callStructure, type NativeVcpu, type NativeVm, type StructureCall } from './native.ts';

/** A piece of state that is one structure of an ioctl. */
export interface StatePart {
  readonly get: StructureCall;
  readonly set: StructureCall;
  /** Bytes. */
  readonly size: number;
}

export function savePart(owner: NativeVm | NativeVcpu, { get, size }: StatePart): Uint8Array {
  const bytes = new Uint8Array(size);
  callStructure(owner, get, bytes);
  return bytes;
}

export function restorePart(
  owner: NativeVm | NativeVcpu,
  name: string,
  { set, size }: StatePart,
  state: KvmState,
): void {
  // A copy: some calls answer in the structure.
  callStructure(owner, set, partOf(state, name, size).slice());
}

/**
 * A piece of saved state.
 *
 * @param size bytes it must have; any when left out
 * @throws HypervisorError INVALID_ARGUMENT when it is not there or not as long
 */
export function partOf(state: KvmState, name: string, size?: number): Uint8Array {
  const bytes = state[name];
  if (bytes === undefined) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `the saved state has no ${name}: it is from a machine of another kind`,
    );
  }
  if (size !== undefined && bytes.length !== size) {
    throw new HypervisorError('INVALID_ARGUMENT', `the saved ${name} has ${bytes.length} bytes, not ${size}`);
  }
  return bytes;
}
