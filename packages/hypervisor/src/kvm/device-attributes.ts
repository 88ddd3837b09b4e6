import { type NativeDevice, type NativeVcpu, type NativeVm, native } from './native.ts';

/** What KVM_{GET,SET}_DEVICE_ATTR take: a device in the kernel, a machine, or a vCPU. */
export type AttributeOwner = NativeDevice | NativeVm | NativeVcpu;

const GET = 1;
const SET = 2;

/** A named number of a device: group and attribute are the device's own (Linux, Documentation/virt/kvm/devices). */
export interface Attribute {
  readonly group: number;
  readonly attribute: bigint;
  /** Bytes of its value. */
  readonly size: 4 | 8;
}

function access(
  owner: AttributeOwner,
  operation: number,
  group: number,
  attribute: bigint,
  bytes: Uint8Array,
) {
  const high = Number(attribute >> 32n);
  const low = Number(attribute & 0xffff_ffffn);
  return native().deviceAttribute(owner, operation, group, high, low, bytes);
}

/** @throws KvmError */
export function readAttribute(owner: AttributeOwner, { group, attribute, size }: Attribute): bigint {
  const view = new DataView(new ArrayBuffer(8));
  access(owner, GET, group, attribute, new Uint8Array(view.buffer, 0, size));
  return view.getBigUint64(0, true);
}

/** @throws KvmError when the device refuses the value */
export function writeAttribute(
  owner: AttributeOwner,
  { group, attribute, size }: Attribute,
  value: bigint,
): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  access(owner, SET, group, attribute, new Uint8Array(view.buffer, 0, size));
}

/** Makes the device do what the attribute is named for. @throws KvmError */
export function command(owner: AttributeOwner, group: number, attribute: bigint): void {
  access(owner, SET, group, attribute, new Uint8Array());
}
