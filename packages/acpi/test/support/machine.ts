import {
  Add,
  And,
  Arg,
  ByteBuffer,
  CreateDWordField,
  Device,
  DWordMemory,
  EisaId,
  Field,
  If,
  Interrupt,
  IO,
  IRQNoFlags,
  LEqual,
  Local,
  Memory32Fixed,
  Method,
  Name,
  Notify,
  OperationRegion,
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
} from '../../src/aml/index.ts';
import { createDsdt, createFadt, createMadt, createMcfg, type OemIdentity } from '../../src/index.ts';

export const OEM: OemIdentity = {
  id: 'TSVMM',
  tableId: 'MACHINE',
  revision: 1,
  creatorId: 'TSVM',
  creatorRevision: 1,
};

/** A PCI host bridge with its windows and interrupts, what is beside it on the board, and sleep states. */
export const dsdt = createDsdt(OEM, [
  Name('\\VCFG', 0xf800_0000),
  Name('\\_S1', Package([1, 1, 0, 0])),
  Name('\\_S5', Package([0, 0, 0, 0])),
  Scope('\\_SB', [
    Device('PC00', [
      Name('_HID', EisaId('PNP0A08')),
      Name('_CID', EisaId('PNP0A03')),
      Name('_UID', 0),
      Name('SUPP', 0),
      Name(
        '_CRS',
        ResourceTemplate([
          WordBusNumber({ minimum: 0, maximum: 63 }),
          IO({ minimum: 0xcf8, length: 8 }),
          WordIO({ minimum: 0, maximum: 0xcf7 }),
          WordIO({ minimum: 0xd00, maximum: 0xffff }),
          DWordMemory({ minimum: 0xd000_0000, maximum: 0xf3ff_ffff }),
          QWordMemory({
            minimum: 0x1_0000_0000n,
            maximum: 0x3fff_ffff_ffffn,
            caching: 'Prefetchable',
          }),
        ]),
      ),
      Name('_PRT', Package([Package([0x1_ffff, 0, 0, 9]), Package([0x2_ffff, 0, Path('\\_SB.LNKA'), 0])])),
      Method('_OSC', { arguments: 4 }, [
        CreateDWordField(Arg(3), 0, 'CDW1'),
        If(
          LEqual(Arg(0), ToUUID('33db4d5b-1ff7-401c-9657-7441c03dd766')),
          [
            CreateDWordField(Arg(3), 8, 'CDW3'),
            Store(And(Path('CDW3'), 0x15), Path('CDW3')),
            Store(Path('CDW3'), Path('SUPP')),
          ],
          [Or(Path('CDW1'), 4, Path('CDW1'))],
        ),
        Return(Arg(3)),
      ]),
      Device('S008', [Name('_ADR', 0x1_0000), Name('_PRW', Package([4, 1]))]),
    ]),
    Device('LNKA', [
      Name('_HID', EisaId('PNP0C0F')),
      Name(
        '_CRS',
        ResourceTemplate([
          Interrupt({ trigger: 'Level', polarity: 'ActiveLow', sharing: 'Shared' }, [0x10, 0x11]),
        ]),
      ),
    ]),
    Device('MB00', [
      Name('_HID', EisaId('PNP0C02')),
      Name('_CRS', ResourceTemplate([Memory32Fixed('ReadWrite', 0xf400_0000, 0x400_0000)])),
    ]),
    Device('RTC0', [
      Name('_HID', EisaId('PNP0B00')),
      Name('_CRS', ResourceTemplate([IO({ minimum: 0x70, length: 2 }), IRQNoFlags([8])])),
      Name('DATA', ByteBuffer(Uint8Array.of(1, 2, 3))),
    ]),
  ]),
  OperationRegion('PMIO', 'SystemIO', 0x600, 8),
  Field('PMIO', { access: 'WordAcc' }, [
    { name: 'STS0', bits: 16 },
    { offset: 32 },
    { reserved: 10 },
    { name: 'STYP', bits: 3 },
  ]),
  Scope('\\_GPE', [
    Method('_E00', {}, [
      Store(Add(Path('\\STS0'), 1), Local(0)),
      If(Local(0), [Notify(Path('\\_SB.PC00.S008'), 2)]),
    ]),
  ]),
]);

export const fadt = createFadt(OEM, {
  sciInterrupt: 5,
  pm1aEventBlock: 0x600,
  pm1aControlBlock: 0x604,
  gpe0Block: { port: 0x608, length: 64 },
  resetRegister: { port: 0xcf9, value: 6 },
  rtc: { dayAlarm: 0x0d, monthAlarm: 0x7e, century: 0x32 },
  powerButton: true,
  sleepButton: false,
  boot: { legacyDevices: true, keyboardController: false, vga: false, cmosRtc: true },
  hypervisorVendor: 'TSVMM',
});

export const madt = createMadt(OEM, {
  localApicAddress: 0xfee0_0000,
  has8259: true,
  processors: [0, 1, 254, 255, 1000].map((id) => ({ uid: id, apicId: id })),
  ioApics: [{ id: 0, address: 0xfec0_0000, interruptBase: 0 }],
  overrides: [
    { isaInterrupt: 0, globalInterrupt: 2, trigger: 'conforms', polarity: 'conforms' },
    { isaInterrupt: 5, globalInterrupt: 5, trigger: 'level', polarity: 'active-low' },
    { isaInterrupt: 7, globalInterrupt: 7, trigger: 'edge', polarity: 'active-high' },
  ],
  nmiInput: 1,
});

export const mcfg = createMcfg(OEM, [{ address: 0xf400_0000, firstBus: 0, lastBus: 63 }]);

export const TABLES = [dsdt, fadt, madt, mcfg];
