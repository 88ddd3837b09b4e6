import { HypervisorError } from '../errors.ts';
import { callStructure, KvmError, type NativeVcpu, native } from './native.ts';

/** Where an id has the binary logarithm of the register's bytes (KVM_REG_SIZE_SHIFT). */
const SIZE_SHIFT = 52n;
/** Bytes of an id in saved registers. */
const ID_SIZE = 8;

/** KVM_REG_SIZE_* */
export const RegisterSize = {
  u32: 0x0020_0000_0000_0000n,
  u64: 0x0030_0000_0000_0000n,
  u128: 0x0040_0000_0000_0000n,
} as const;

/** Bytes of a register (KVM_GET_ONE_REG): its id says it. */
export function registerSize(id: bigint): number {
  return 2 ** Number((id >> SIZE_SHIFT) & 0xfn);
}

function transfer(vcpu: NativeVcpu, write: boolean, id: bigint, bytes: Uint8Array): void {
  native().oneRegister(vcpu, write, Number(id >> 32n), Number(id & 0xffff_ffffn), bytes);
}

/** KVM_GET_ONE_REG, little-endian. @throws KvmError INVALID_ARGUMENT for a register that the vCPU does not have */
export function readBytes(vcpu: NativeVcpu, id: bigint): Uint8Array {
  const bytes = new Uint8Array(registerSize(id));
  transfer(vcpu, false, id, bytes);
  return bytes;
}

/** KVM_SET_ONE_REG. @throws KvmError INVALID_ARGUMENT for a register or a value that the vCPU cannot have */
export function writeBytes(vcpu: NativeVcpu, id: bigint, bytes: Uint8Array): void {
  transfer(vcpu, true, id, bytes);
}

/** A register as a number. */
export function readRegister(vcpu: NativeVcpu, id: bigint): bigint {
  return toBigInt(readBytes(vcpu, id));
}

/** Sets a register whose value is known to fit. */
export function writeRegister(vcpu: NativeVcpu, id: bigint, value: bigint): void {
  const bytes = new Uint8Array(registerSize(id));
  fill(bytes, value);
  writeBytes(vcpu, id, bytes);
}

/** The same, or undefined where the vCPU has no such register. */
export function tryReadRegister(vcpu: NativeVcpu, id: bigint): bigint | undefined {
  try {
    return readRegister(vcpu, id);
  } catch (error) {
    if (!(error instanceof KvmError) || !isAbsent(error)) throw error;
    return undefined;
  }
}

/** Every register that KVM knows of a vCPU (KVM_GET_REG_LIST). */
export function registerList(vcpu: NativeVcpu): BigUint64Array {
  for (let count = 512; ; count *= 2) {
    const list = new BigUint64Array(1 + count);
    list[0] = BigInt(count);
    try {
      callStructure(vcpu, 'KVM_GET_REG_LIST', new Uint8Array(list.buffer));
      return list.subarray(1, 1 + Number(list[0]));
    } catch (error) {
      if (!(error instanceof KvmError) || error.errno !== 'E2BIG' || count > 65536) throw error;
    }
  }
}

/** Reads registers into one piece: of each its id, then its bytes. */
export function saveRegisters(vcpu: NativeVcpu, ids: Iterable<bigint>): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const id of ids) {
    const head = new BigUint64Array([id]);
    pieces.push(new Uint8Array(head.buffer), readBytes(vcpu, id));
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/**
 * Writes what {@link saveRegisters} read. A register that has the value already is not written: some cannot be.
 *
 * @throws HypervisorError INVALID_ARGUMENT for bytes that are not saved registers, or that this host does not accept
 */
export function restoreRegisters(vcpu: NativeVcpu, saved: Uint8Array): void {
  const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
  for (let offset = 0; offset < saved.length; ) {
    if (saved.length - offset < ID_SIZE) throw malformed();
    const id = view.getBigUint64(offset, true);
    const value = saved.subarray(offset + ID_SIZE, offset + ID_SIZE + registerSize(id));
    if (value.length !== registerSize(id)) throw malformed();
    offset += ID_SIZE + value.length;
    restore(vcpu, id, value);
  }
}

function restore(vcpu: NativeVcpu, id: bigint, value: Uint8Array): void {
  try {
    if (Buffer.compare(readBytes(vcpu, id), value) !== 0) writeBytes(vcpu, id, value);
  } catch (cause) {
    if (!(cause instanceof KvmError) || cause.code === 'INVALID_STATE') throw cause;
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `this host does not accept the saved register 0x${id.toString(16)}: restore on a host like the one it was saved on`,
      { cause },
    );
  }
}

/** A register's bytes as a number. */
export function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  return value;
}

/** A number as a register's bytes; what does not fit is cut off. */
export function fill(bytes: Uint8Array, value: bigint): void {
  for (let index = 0; index < bytes.length; index++)
    bytes[index] = Number((value >> BigInt(8 * index)) & 0xffn);
}

function isAbsent({ errno }: KvmError): boolean {
  return errno === 'ENOENT' || errno === 'EINVAL';
}

function malformed(): HypervisorError {
  return new HypervisorError('INVALID_ARGUMENT', 'the saved vCPU is damaged: its registers end too early');
}
