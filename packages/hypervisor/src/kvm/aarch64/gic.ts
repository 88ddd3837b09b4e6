import { HypervisorError } from '../../errors.ts';
import type { GicOptions } from '../../interrupt-controllers.ts';
import { command, writeAttribute } from '../device-attributes.ts';
import { KvmError, type NativeDevice, type NativeVm, native } from '../native.ts';

/** KVM_DEV_TYPE_ARM_VGIC_* */
const DeviceType = { gicV2: 5, gicV3: 7, its: 8 } as const;

/** KVM_DEV_ARM_VGIC_GRP_* */
export const GicGroup = {
  address: 0,
  distributor: 1,
  cpuInterfaceV2: 2,
  interruptCount: 3,
  control: 4,
  redistributor: 5,
  cpuInterfaceV3: 6,
  level: 7,
  its: 8,
} as const;

/** KVM_DEV_ARM_VGIC_CTRL_* and KVM_DEV_ARM_ITS_* */
export const GicControl = {
  initialize: 0n,
  itsSaveTables: 1n,
  itsRestoreTables: 2n,
  savePendingTables: 3n,
} as const;

/** KVM_VGIC_V2_ADDR_TYPE_*, KVM_VGIC_V3_ADDR_TYPE_*, KVM_VGIC_ITS_ADDR_TYPE */
const AddressType = {
  distributorV2: 0n,
  cpuInterfaceV2: 1n,
  distributorV3: 2n,
  redistributors: 3n,
  its: 4n,
} as const;

/** INTIDs of SGIs and PPIs, which come before those of the shared interrupts. */
export const PRIVATE_INTERRUPTS = 32;
const SOURCES_MAXIMUM = 960;
/** GICv2 has one bit a CPU in its registers. */
const V2_VCPUS_MAXIMUM = 8;

/** A machine's interrupt controller in the kernel. */
export interface Gic {
  readonly version: 2 | 3;
  readonly device: NativeDevice;
  readonly its: NativeDevice | undefined;
}

/**
 * Creates the controller for the vCPUs that are there.
 *
 * @throws HypervisorError UNSUPPORTED for a version that the host does not virtualize, INVALID_ARGUMENT for addresses and
 * numbers that the controller cannot have
 */
export function createGic(vm: NativeVm, options: GicOptions, vcpuCount: number): Gic {
  check(options, vcpuCount);
  using cleanup = new DisposableStack();
  const { version, device } = createController(vm, options.version);
  cleanup.adopt(device, native().release);
  if (version === 2 && vcpuCount > V2_VCPUS_MAXIMUM) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `${vcpuCount} vCPUs: a GICv2, which is what there is here, has up to ${V2_VCPUS_MAXIMUM}`,
    );
  }
  const setAddress = (attribute: bigint, address: number) =>
    writeAttribute(device, { group: GicGroup.address, attribute, size: 8 }, BigInt(address));
  if (version === 3) {
    setAddress(AddressType.distributorV3, options.distributorAddress);
    setAddress(AddressType.redistributors, options.redistributorAddress);
  } else {
    setAddress(AddressType.distributorV2, options.distributorAddress);
    setAddress(AddressType.cpuInterfaceV2, options.cpuInterfaceAddress);
  }
  const interrupts = BigInt(PRIVATE_INTERRUPTS + options.sources);
  writeAttribute(device, { group: GicGroup.interruptCount, attribute: 0n, size: 4 }, interrupts);
  command(device, GicGroup.control, GicControl.initialize);
  const its =
    version === 3 && options.itsAddress !== undefined ? createIts(vm, options.itsAddress) : undefined;
  cleanup.move();
  return { version, device, its };
}

export function releaseGic({ device, its }: Gic): void {
  if (its !== undefined) native().release(its);
  native().release(device);
}

function check({ version, itsAddress, sources }: GicOptions, vcpuCount: number): void {
  if (!Number.isInteger(sources / 32) || sources < 32 || sources > SOURCES_MAXIMUM) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `${sources} wired interrupts: a GIC has a multiple of 32, from 32 to ${SOURCES_MAXIMUM}`,
    );
  }
  if (version === 2 && itsAddress !== undefined) {
    throw new HypervisorError('INVALID_ARGUMENT', 'a GICv2 has no ITS: leave its address out');
  }
  if (version === 2 && vcpuCount > V2_VCPUS_MAXIMUM) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `${vcpuCount} vCPUs: a GICv2 has up to ${V2_VCPUS_MAXIMUM}`,
    );
  }
}

/** The version that is wanted; else the newer one that the host has. */
function createController(vm: NativeVm, wanted: 2 | 3 | undefined): { version: 2 | 3; device: NativeDevice } {
  const failures: KvmError[] = [];
  for (const version of wanted === undefined ? ([3, 2] as const) : [wanted]) {
    try {
      const device = native().createDevice(vm, version === 3 ? DeviceType.gicV3 : DeviceType.gicV2);
      return { version, device };
    } catch (error) {
      if (!(error instanceof KvmError) || error.errno !== 'ENODEV') throw error;
      failures.push(error);
    }
  }
  throw new HypervisorError(
    'UNSUPPORTED',
    `the host's interrupt controller cannot be virtualized as ${wanted === undefined ? 'a GICv3 or GICv2' : `a GICv${wanted}`}` +
      `${wanted === undefined ? '' : ': leave the version out to get what there is'}`,
    { cause: failures[0] },
  );
}

function createIts(vm: NativeVm, address: number): NativeDevice {
  using cleanup = new DisposableStack();
  const its = cleanup.adopt(native().createDevice(vm, DeviceType.its), native().release);
  writeAttribute(its, { group: GicGroup.address, attribute: AddressType.its, size: 8 }, BigInt(address));
  command(its, GicGroup.control, GicControl.initialize);
  cleanup.move();
  return its;
}
