import { HypervisorError } from '../../errors.ts';
import { type AiaOptions, IMSIC_FILE_SIZE } from '../../interrupt-controllers.ts';
import type { KvmState } from '../architecture.ts';
import { type Attribute, command, readAttribute, writeAttribute } from '../device-attributes.ts';
import { type NativeDevice, type NativeVm, native } from '../native.ts';
import { partOf } from '../saved-state.ts';

/** KVM_DEV_TYPE_RISCV_AIA */
const DEVICE_TYPE = 11;

/** KVM_DEV_RISCV_AIA_GRP_* */
const Group = { configuration: 0, address: 1, control: 2, aplic: 3, imsic: 4 } as const;

/** KVM_DEV_RISCV_AIA_CONFIG_* */
const Configuration = { identities: 1n, sources: 2n, hartBits: 5n } as const;
/** KVM_DEV_RISCV_AIA_ADDR_*: the APLIC, then an IMSIC for each vCPU. */
const APLIC_ADDRESS = 0n;
const IMSIC_ADDRESS = 1n;
/** KVM_DEV_RISCV_AIA_CTRL_INIT */
const INITIALIZE = 0n;

/** Registers of the APLIC's control region (AIA 1.0, table 4.1) that hold state. */
const DOMAINCFG = 0x0;
const SOURCECFG = 0x4;
const SETIP = 0x1c00;
const SETIE = 0x1e00;
const TARGET = 0x3004;

/** Indirect registers of an interrupt file (AIA 1.0, section 3.8), and where an attribute has the vCPU. */
const EIDELIVERY = 0x70;
const EITHRESHOLD = 0x72;
const EIP0 = 0x80;
const EIE0 = 0xc0;
const VCPU_SHIFT = 12n;

/**
 * Creates APLIC and IMSICs for the vCPUs that are there.
 *
 * @throws HypervisorError INVALID_ARGUMENT for addresses and numbers that the controllers cannot have
 */
export function createAia(vm: NativeVm, options: AiaOptions, vcpuCount: number): NativeDevice {
  check(options, vcpuCount);
  using cleanup = new DisposableStack();
  const device = cleanup.adopt(native().createDevice(vm, DEVICE_TYPE), native().release);
  const configure = (attribute: bigint, value: number) =>
    writeAttribute(device, { group: Group.configuration, attribute, size: 4 }, BigInt(value));
  configure(Configuration.identities, options.imsicIdentities);
  configure(Configuration.sources, options.aplicSources);
  configure(Configuration.hartBits, Math.ceil(Math.log2(vcpuCount)));
  const place = (attribute: bigint, address: number) =>
    writeAttribute(device, { group: Group.address, attribute, size: 8 }, BigInt(address));
  place(APLIC_ADDRESS, options.aplicAddress);
  for (let id = 0; id < vcpuCount; id++) {
    place(IMSIC_ADDRESS + BigInt(id), options.imsicAddress + id * IMSIC_FILE_SIZE);
  }
  command(device, Group.control, INITIALIZE);
  cleanup.move();
  return device;
}

function check({ imsicAddress, imsicIdentities, aplicSources }: AiaOptions, vcpuCount: number): void {
  const files = 2 ** Math.ceil(Math.log2(vcpuCount)) * IMSIC_FILE_SIZE;
  if (!Number.isInteger(imsicAddress / files)) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `interrupt files of ${vcpuCount} harts must be at a multiple of 0x${files.toString(16)}: a part of their address ` +
        'is the number of the hart',
    );
  }
  if (!Number.isInteger((imsicIdentities + 1) / 64) || imsicIdentities < 63 || imsicIdentities > 2047) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `${imsicIdentities} interrupt identities: an interrupt file has a multiple of 64, less 1, up to 2047`,
    );
  }
  if (!Number.isInteger(aplicSources) || aplicSources < 1 || aplicSources > imsicIdentities) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `${aplicSources} wired interrupts: an APLIC has from 1 to as many as an interrupt file has identities`,
    );
  }
}

/** Everything of the controllers, in the order in which it is written: the domain is enabled last. */
function attributesOf({ aplicSources, imsicIdentities }: AiaOptions, vcpuCount: number): Attribute[] {
  const aplic = (offset: number): Attribute => ({ group: Group.aplic, attribute: BigInt(offset), size: 4 });
  const perSource = (offset: number) => Array.from({ length: aplicSources }, (_, n) => aplic(offset + 4 * n));
  const words = (offset: number) =>
    Array.from({ length: Math.ceil((aplicSources + 1) / 32) }, (_, n) => aplic(offset + 4 * n));
  const files = Array.from({ length: vcpuCount }, (_, vcpu) => {
    const file = (register: number): Attribute => ({
      group: Group.imsic,
      attribute: (BigInt(vcpu) << VCPU_SHIFT) | BigInt(register),
      size: 8,
    });
    // Of arrays a hart of 64 bits has every other register.
    const bits = Array.from({ length: (imsicIdentities + 1) / 64 }, (_, n) => 2 * n);
    return [
      ...bits.map((n) => file(EIE0 + n)),
      ...bits.map((n) => file(EIP0 + n)),
      file(EITHRESHOLD),
      file(EIDELIVERY),
    ];
  });
  return [
    ...perSource(SOURCECFG),
    ...perSource(TARGET),
    ...words(SETIE),
    ...words(SETIP),
    ...files.flat(),
    aplic(DOMAINCFG),
  ];
}

export function saveAia(device: NativeDevice, options: AiaOptions, vcpuCount: number): KvmState {
  const values = attributesOf(options, vcpuCount).map((entry) => readAttribute(device, entry));
  return { aia: new Uint8Array(BigUint64Array.from(values).buffer) };
}

export function restoreAia(
  device: NativeDevice,
  options: AiaOptions,
  vcpuCount: number,
  state: KvmState,
): void {
  const attributes = attributesOf(options, vcpuCount);
  const saved = partOf(state, 'aia', attributes.length * 8);
  const view = new DataView(saved.buffer, saved.byteOffset);
  for (const [index, entry] of attributes.entries()) {
    writeAttribute(device, entry, view.getBigUint64(8 * index, true));
  }
}
