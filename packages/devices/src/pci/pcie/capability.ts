import { PciCapabilityId, type PciConfigurationSpaceBuilder } from '../configuration-space.ts';

/** Byte offsets in the PCI Express capability (PCI Express Base 5.0, section 7.5.3). */
export const PcieRegister = {
  deviceCapabilities: 0x04,
  deviceControl: 0x08,
  linkCapabilities: 0x0c,
  linkControl: 0x10,
  slotCapabilities: 0x14,
  /** Slot Control in the lower half, Slot Status in the upper one. */
  slotControl: 0x18,
  rootControl: 0x1c,
  rootStatus: 0x20,
} as const;

/** Bytes of version 2 of the capability, and what stands before its registers. */
const LENGTH = 0x3c;
const HEADER = 2;

/** PCI Express Capabilities: version 2, root port, slot implemented. */
const ROOT_PORT_WITH_SLOT = 0x2 | (0x4 << 4) | (1 << 8);
/** Device Capabilities: role-based error reporting, which every device since 1.1 has. */
const ROLE_BASED_ERROR_REPORTING = 1 << 15;
/** Link: one lane at 2.5 GT/s, which it always has. */
const LINK_X1_2_5GT = 0x11;

/** Slot Capabilities: what the slot has, and in bits 31…19 its number. */
const SLOT_ATTENTION_BUTTON = 1 << 0;
const SLOT_ATTENTION_INDICATOR = 1 << 3;
const SLOT_POWER_INDICATOR = 1 << 4;
const SLOT_HOT_PLUG_SURPRISE = 1 << 5;
const SLOT_HOT_PLUG_CAPABLE = 1 << 6;
const SLOT_NUMBER_SHIFT = 19;
/** Slot Control: both indicators off. */
const INDICATORS_OFF = 0x03c0;

/** Device Control, and Device Status whose errors are cleared by ones; the last control bit is for bridges to PCI-X. */
const DEVICE_CONTROL_WRITABLE = 0x7fff;
const DEVICE_STATUS_CLEARED = 0x000f_0000;
/** ASPM, link disable, common clock, extended synch. */
const LINK_CONTROL_WRITABLE = 0x00d3;
/** All enables and the indicators; there is neither a power controller nor an interlock. */
const SLOT_CONTROL_WRITABLE = 0x13ff;
/** Slot Status: what happened, as opposed to what is. */
const SLOT_STATUS_CLEARED = 0x011f_0000;
const ROOT_CONTROL_WRITABLE = 0x000f;
/** Root Status: PME Status. */
const ROOT_STATUS_CLEARED = 1 << 16;

/**
 * Adds the PCI Express capability of a root port with a slot for hot-plug, of which crosvm's has the same features.
 * @param slotNumber as the guest names the slot, 0…8191
 * @returns the capability's offset
 * @throws DeviceError OUT_OF_SPACE
 */
export function addRootPortCapability(space: PciConfigurationSpaceBuilder, slotNumber: number): number {
  const body = new Uint8Array(LENGTH - HEADER);
  const registers = new DataView(body.buffer);
  registers.setUint16(0, ROOT_PORT_WITH_SLOT, true);
  const set = (offset: number, value: number) => registers.setUint32(offset - HEADER, value, true);
  set(PcieRegister.deviceCapabilities, ROLE_BASED_ERROR_REPORTING);
  set(PcieRegister.linkCapabilities, LINK_X1_2_5GT);
  set(PcieRegister.linkControl, LINK_X1_2_5GT << 16);
  set(
    PcieRegister.slotCapabilities,
    SLOT_ATTENTION_BUTTON |
      SLOT_ATTENTION_INDICATOR |
      SLOT_POWER_INDICATOR |
      SLOT_HOT_PLUG_SURPRISE |
      SLOT_HOT_PLUG_CAPABLE |
      (slotNumber << SLOT_NUMBER_SHIFT),
  );
  set(PcieRegister.slotControl, INDICATORS_OFF);
  const capability = space.addCapability(PciCapabilityId.pciExpress, body);
  space
    .setWritable(capability + PcieRegister.deviceControl, DEVICE_CONTROL_WRITABLE)
    .setWriteOneToClear(capability + PcieRegister.deviceControl, DEVICE_STATUS_CLEARED)
    .setWritable(capability + PcieRegister.linkControl, LINK_CONTROL_WRITABLE)
    .setWritable(capability + PcieRegister.slotControl, SLOT_CONTROL_WRITABLE)
    .setWriteOneToClear(capability + PcieRegister.slotControl, SLOT_STATUS_CLEARED)
    .setWritable(capability + PcieRegister.rootControl, ROOT_CONTROL_WRITABLE)
    .setWriteOneToClear(capability + PcieRegister.rootStatus, ROOT_STATUS_CLEARED);
  return capability;
}
