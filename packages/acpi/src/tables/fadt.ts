import { bytes, struct, u8, u16, u32, u64 } from '@tsvmm/struct';
import { ascii } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { type AcpiTable, createTable, type OemIdentity, tableHeader, withChecksum } from './header.ts';

/** Generic Address Structure, ACPI 6.4 section 5.2.3.2. */
const genericAddress = struct(
  { addressSpaceId: u8, registerBitWidth: u8, registerBitOffset: u8, accessSize: u8, address: u64 },
  { name: 'GAS', packed: true },
);

/** Fixed ACPI Description Table, section 5.2.9, with the names that it gives its fields. */
const fadt = struct(
  {
    header: tableHeader,
    firmwareCtrl: u32,
    dsdt: u32,
    reserved1: u8,
    preferredPmProfile: u8,
    sciInt: u16,
    smiCmd: u32,
    acpiEnable: u8,
    acpiDisable: u8,
    s4BiosReq: u8,
    pstateCnt: u8,
    pm1aEvtBlk: u32,
    pm1bEvtBlk: u32,
    pm1aCntBlk: u32,
    pm1bCntBlk: u32,
    pm2CntBlk: u32,
    pmTmrBlk: u32,
    gpe0Blk: u32,
    gpe1Blk: u32,
    pm1EvtLen: u8,
    pm1CntLen: u8,
    pm2CntLen: u8,
    pmTmrLen: u8,
    gpe0BlkLen: u8,
    gpe1BlkLen: u8,
    gpe1Base: u8,
    cstCnt: u8,
    pLvl2Lat: u16,
    pLvl3Lat: u16,
    flushSize: u16,
    flushStride: u16,
    dutyOffset: u8,
    dutyWidth: u8,
    dayAlrm: u8,
    monAlrm: u8,
    century: u8,
    iapcBootArch: u16,
    reserved2: u8,
    flags: u32,
    resetReg: genericAddress,
    resetValue: u8,
    armBootArch: u16,
    minorVersion: u8,
    xFirmwareCtrl: u64,
    xDsdt: u64,
    xPm1aEvtBlk: genericAddress,
    xPm1bEvtBlk: genericAddress,
    xPm1aCntBlk: genericAddress,
    xPm1bCntBlk: genericAddress,
    xPm2CntBlk: genericAddress,
    xPmTmrBlk: genericAddress,
    xGpe0Blk: genericAddress,
    xGpe1Blk: genericAddress,
    sleepControlReg: genericAddress,
    sleepStatusReg: genericAddress,
    hypervisorVendorIdentity: bytes(8),
  },
  { name: 'FADT', packed: true },
);

const MAJOR_VERSION = 6;
const MINOR_VERSION = 3;

const SYSTEM_IO = 1;
const BYTE_ACCESS = 1;

/** Latencies above these say that there is no C2 and no C3. */
const NO_C2 = 101;
const NO_C3 = 1001;

/** Fixed feature flags, table 5.10. */
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const PWR_BUTTON = 1 << 4;
const SLP_BUTTON = 1 << 5;
const RESET_REG_SUP = 1 << 10;
const LOW_POWER_S0_IDLE_CAPABLE = 1 << 21;

/** IA-PC boot architecture flags, table 5.11. */
const LEGACY_DEVICES = 1 << 0;
const CONTROLLER_8042 = 1 << 1;
const VGA_NOT_PRESENT = 1 << 2;
const CMOS_RTC_NOT_PRESENT = 1 << 5;

export interface FadtOptions {
  /** The global system interrupt that is the SCI: level-triggered. */
  readonly sciInterrupt: number;
  /** Port of PM1a_STS and, two bytes on, PM1a_EN. */
  readonly pm1aEventBlock: number;
  /** Port of PM1a_CNT, two bytes. */
  readonly pm1aControlBlock: number;
  /** As many bytes of GPE status, then as many of GPE enable: a bit for each event. */
  readonly gpe0Block: { readonly port: number; readonly length: number };
  /** A write of `value` to the port resets the machine. */
  readonly resetRegister: { readonly port: number; readonly value: number };
  /** CMOS bytes of the real time clock that the original PC does not have; 0 or left out for none. */
  readonly rtc?: { readonly dayAlarm?: number; readonly monthAlarm?: number; readonly century?: number };
  /** Whether the buttons are the fixed ones in PM1, and not devices of the DSDT. */
  readonly powerButton: boolean;
  readonly sleepButton: boolean;
  /** Whether the system should rather idle in S0 than sleep. */
  readonly lowPowerS0Idle?: boolean;
  /** What the system may rely on without looking for it. */
  readonly boot: {
    readonly legacyDevices: boolean;
    readonly keyboardController: boolean;
    readonly vga: boolean;
    readonly cmosRtc: boolean;
  };
  /** Up to 8 characters. */
  readonly hypervisorVendor?: string;
}

/**
 * The FADT of a machine with fixed hardware in I/O ports that is always in ACPI mode (SMI_CMD is zero). The addresses of
 * FACS and DSDT come in when it is placed.
 */
export function createFadt(oem: OemIdentity, options: FadtOptions): AcpiTable {
  const content = new Uint8Array(fadt.size - tableHeader.size);
  const { bytes } = createTable('FACP', MAJOR_VERSION, oem, [content]);
  const table = fadt.attach(bytes.buffer);
  table.minorVersion = MINOR_VERSION;
  table.sciInt = options.sciInterrupt;
  table.pm1aEvtBlk = options.pm1aEventBlock;
  table.pm1EvtLen = 4;
  table.pm1aCntBlk = options.pm1aControlBlock;
  table.pm1CntLen = 2;
  table.gpe0Blk = options.gpe0Block.port;
  table.gpe0BlkLen = options.gpe0Block.length;
  table.pLvl2Lat = NO_C2;
  table.pLvl3Lat = NO_C3;
  table.dayAlrm = options.rtc?.dayAlarm ?? 0;
  table.monAlrm = options.rtc?.monthAlarm ?? 0;
  table.century = options.rtc?.century ?? 0;
  table.iapcBootArch =
    (options.boot.legacyDevices ? LEGACY_DEVICES : 0) |
    (options.boot.keyboardController ? CONTROLLER_8042 : 0) |
    (options.boot.vga ? 0 : VGA_NOT_PRESENT) |
    (options.boot.cmosRtc ? 0 : CMOS_RTC_NOT_PRESENT);
  table.flags =
    WBINVD |
    PROC_C1 |
    RESET_REG_SUP |
    (options.powerButton ? 0 : PWR_BUTTON) |
    (options.sleepButton ? 0 : SLP_BUTTON) |
    (options.lowPowerS0Idle ? LOW_POWER_S0_IDLE_CAPABLE : 0);
  table.resetReg.addressSpaceId = SYSTEM_IO;
  table.resetReg.registerBitWidth = 8;
  table.resetReg.accessSize = BYTE_ACCESS;
  table.resetReg.address = options.resetRegister.port;
  table.resetValue = options.resetRegister.value;
  table.hypervisorVendorIdentity.set(ascii(options.hypervisorVendor ?? '', 8, 'hypervisor vendor'));
  return withChecksum(bytes);
}

/** Bytes that a FADT must have to say where a DSDT above its own 32 bits is: those of ACPI 2.0. */
const USABLE_LENGTH = fadt.offsets.xPm1aEvtBlk;

/** @throws AcpiError BAD_TABLE when the FADT is older than ACPI 2.0 */
function attachFadt(table: AcpiTable) {
  if (table.bytes.length < USABLE_LENGTH) {
    const message = `The FADT has ${table.bytes.length} bytes; one of ACPI 2.0 or later, with at least ${USABLE_LENGTH}, is needed.`;
    throw new AcpiError('BAD_TABLE', message);
  }
  // A later version may be longer than what is known here, an earlier one shorter.
  const bytes = new Uint8Array(Math.max(fadt.size, table.bytes.length));
  bytes.set(table.bytes);
  return { bytes, fields: fadt.attach(bytes.buffer) };
}

/**
 * The interrupt that a FADT says is the SCI.
 * @throws AcpiError BAD_TABLE when the FADT is older than ACPI 2.0
 */
export function sciInterrupt(table: AcpiTable): number {
  return attachFadt(table).fields.sciInt;
}

/** The FADT with the addresses of the tables that are found through it, both below 4 GiB. */
export function linkFadt(table: AcpiTable, facsAddress: number, dsdtAddress: number): AcpiTable {
  const { bytes, fields } = attachFadt(table);
  // One of the two is used; which one when both are there is not what all versions of the specification say alike.
  fields.firmwareCtrl = facsAddress;
  fields.xFirmwareCtrl = 0;
  fields.dsdt = dsdtAddress;
  fields.xDsdt = dsdtAddress;
  return withChecksum(bytes.slice(0, table.bytes.length));
}
