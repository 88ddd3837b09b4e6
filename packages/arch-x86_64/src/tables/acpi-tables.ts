import {
  type AcpiTable,
  createDsdt,
  createFadt,
  createMadt,
  createMcfg,
  type OemIdentity,
} from '@tsvmm/acpi';
import {
  And,
  Arg,
  CreateDWordField,
  Device,
  DWordMemory,
  EisaId,
  If,
  IO,
  LEqual,
  type ListTerm,
  LNotEqual,
  Local,
  Memory32Fixed,
  Method,
  Name,
  Or,
  Package,
  Path,
  QWordMemory,
  ResourceTemplate,
  Return,
  Scope,
  Store,
  ToUUID,
  WordBusNumber,
  WordIO,
} from '@tsvmm/acpi/aml';
import type { AddressRange, PciInterrupt } from '@tsvmm/arch';
import {
  ACPI_PM_CONTROL_BLOCK,
  ACPI_PM_EVENT_BLOCK,
  ACPI_PM_GPE0_BLOCK,
  ACPI_PM_GPE0_LENGTH,
  ACPI_PM_SLEEP_TYPE,
  CmosTimeRegister,
} from '@tsvmm/devices';
import { ECAM_BUS_SIZE, IO_APIC, LOCAL_APIC, PCI_PORTS, RESET_PORT, SCI_SOURCE } from '../layout.ts';

export const OEM: OemIdentity = {
  id: 'TSVMM',
  tableId: 'TSVMMDT',
  revision: 1,
  creatorId: 'TSVM',
  creatorRevision: 1,
};

/** Written to the reset register: a hard reset. */
const RESET_VALUE = 6;
/** PCI Firmware Specification 3.3, section 4.5: the capabilities of a PCI Express root bridge. */
const OSC_UUID = '33db4d5b-1ff7-401c-9657-7441c03dd766';
/** Of what the system may want to control itself: everything but SHPC hot-plug and AER, which are not here. */
const OSC_GRANTED = 0x15;
const OSC_UNRECOGNIZED_UUID = 1 << 2;
const OSC_UNRECOGNIZED_REVISION = 1 << 3;
const OSC_CAPABILITIES_MASKED = 1 << 4;
/** Any function of a device, in the address of a `_PRT` entry. */
const ANY_FUNCTION = 0xffff;

/** What the tables tell of the machine. */
export interface AcpiMachine {
  readonly vcpuCount: number;
  /** First port of power management. */
  readonly powerManagementPort: number;
  readonly hasRtc: boolean;
  readonly configuration: AddressRange;
  readonly lowWindow: AddressRange;
  readonly highWindow: AddressRange;
  readonly pciInterrupts: readonly PciInterrupt[];
}

/** DSDT, FADT, MADT and MCFG. */
export function acpiTables(machine: AcpiMachine): readonly AcpiTable[] {
  const { configuration } = machine;
  const buses = busCount(configuration);
  return [
    createDsdt(OEM, machineDefinition(machine)),
    fadt(machine),
    madt(machine),
    createMcfg(OEM, [{ address: configuration.start, firstBus: 0, lastBus: buses - 1 }]),
  ];
}

const busCount = ({ start, end }: AddressRange) => (end - start) / ECAM_BUS_SIZE;

function fadt({ powerManagementPort, hasRtc }: AcpiMachine): AcpiTable {
  const { dayAlarm, monthAlarm, century } = CmosTimeRegister;
  return createFadt(OEM, {
    sciInterrupt: SCI_SOURCE,
    pm1aEventBlock: powerManagementPort + ACPI_PM_EVENT_BLOCK,
    pm1aControlBlock: powerManagementPort + ACPI_PM_CONTROL_BLOCK,
    gpe0Block: { port: powerManagementPort + ACPI_PM_GPE0_BLOCK, length: ACPI_PM_GPE0_LENGTH },
    resetRegister: { port: RESET_PORT, value: RESET_VALUE },
    ...(hasRtc && { rtc: { dayAlarm, monthAlarm, century } }),
    powerButton: true,
    sleepButton: true,
    // The controller only resets: there is no keyboard to look for.
    boot: { legacyDevices: true, keyboardController: false, vga: false, cmosRtc: hasRtc },
    hypervisorVendor: 'TSVMM',
  });
}

function madt({ vcpuCount, pciInterrupts }: AcpiMachine): AcpiTable {
  const pci = [...new Set(pciInterrupts.map(({ source }) => source))].map((source) => ({
    source,
    polarity: 'active-low' as const,
  }));
  return createMadt(OEM, {
    localApicAddress: LOCAL_APIC,
    has8259: true,
    processors: Array.from({ length: vcpuCount }, (_, id) => ({ uid: id, apicId: id })),
    ioApics: [{ id: 0, address: IO_APIC, interruptBase: 0 }],
    overrides: [{ source: SCI_SOURCE, polarity: 'active-high' as const }, ...pci].map(
      ({ source, polarity }) => ({
        isaInterrupt: source,
        globalInterrupt: source,
        trigger: 'level' as const,
        polarity,
      }),
    ),
    nmiInput: 1,
  });
}

/** The DSDT's AML: sleep states, the PCI host bridge, and what configuration space takes of memory. */
function machineDefinition(machine: AcpiMachine): ListTerm[] {
  const { s1, s5 } = ACPI_PM_SLEEP_TYPE;
  const { configuration } = machine;
  return [
    Name('_S1', Package([s1, s1, 0, 0])),
    Name('_S5', Package([s5, s5, 0, 0])),
    Scope('\\_SB', [
      Device('PC00', [
        Name('_HID', EisaId('PNP0A08')),
        Name('_CID', EisaId('PNP0A03')),
        Name('_ADR', 0),
        Name('_SEG', 0),
        Name('_BBN', 0),
        Name('_UID', 0),
        Name('_CRS', hostBridgeResources(machine)),
        Name('_PRT', routingTable(machine.pciInterrupts)),
        operatingSystemCapabilities(),
      ]),
      Device('MB00', [
        Name('_HID', EisaId('PNP0C02')),
        Name(
          '_CRS',
          ResourceTemplate([
            Memory32Fixed('ReadWrite', configuration.start, configuration.end - configuration.start),
          ]),
        ),
      ]),
    ]),
  ];
}

function hostBridgeResources({ configuration, lowWindow, highWindow }: AcpiMachine) {
  return ResourceTemplate([
    WordBusNumber({ minimum: 0, maximum: busCount(configuration) - 1 }),
    IO({ minimum: PCI_PORTS, length: 8 }),
    WordIO({ minimum: 0, maximum: PCI_PORTS - 1 }),
    WordIO({ minimum: PCI_PORTS + 8, maximum: 0xffff }),
    DWordMemory({ minimum: lowWindow.start, maximum: lowWindow.end - 1 }),
    QWordMemory({ minimum: highWindow.start, maximum: highWindow.end - 1, caching: 'Prefetchable' }),
  ]);
}

/** Pins lead to inputs of the I/O APIC directly, not through a link device. */
function routingTable(interrupts: readonly PciInterrupt[]) {
  return Package(
    interrupts.map(({ device, pin, source }) =>
      Package([device * 0x1_0000 + ANY_FUNCTION, pin - 1, 0, source]),
    ),
  );
}

/** `_OSC` (ACPI 6.4, section 6.2.11): what the system may control itself. */
function operatingSystemCapabilities(): ListTerm {
  const status = Path('CDW1');
  const control = Path('CDW3');
  const uuid = Arg(0);
  const revision = Arg(1);
  const capabilities = Arg(3);
  const granted = Local(0);
  return Method('_OSC', { arguments: 4, serialized: true }, [
    CreateDWordField(capabilities, 0, 'CDW1'),
    If(
      LEqual(uuid, ToUUID(OSC_UUID)),
      [
        CreateDWordField(capabilities, 8, 'CDW3'),
        Store(And(control, OSC_GRANTED), granted),
        If(LNotEqual(revision, 1), [Or(status, OSC_UNRECOGNIZED_REVISION, status)]),
        If(LNotEqual(control, granted), [Or(status, OSC_CAPABILITIES_MASKED, status)]),
        Store(granted, control),
      ],
      [Or(status, OSC_UNRECOGNIZED_UUID, status)],
    ),
    Return(capabilities),
  ]);
}
