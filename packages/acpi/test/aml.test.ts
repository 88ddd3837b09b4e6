import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Arg,
  BufferOfLength,
  ByteBuffer,
  Device,
  EisaId,
  Field,
  If,
  Index,
  Interrupt,
  IO,
  IRQ,
  type ListTerm,
  LNotEqual,
  Local,
  Method,
  Mutex,
  Name,
  Notify,
  OperationRegion,
  Package,
  Path,
  QWordMemory,
  ResourceTemplate,
  Return,
  Scope,
  Store,
  ToUUID,
  Unicode,
} from '../src/aml/index.ts';
import { createDsdt } from '../src/index.ts';
import { content, PRELUDE } from './support/arbitraries.ts';
import { compile, disassemble, HEADER } from './support/iasl.ts';
import { OEM } from './support/machine.ts';

/** A local variable that is set and not used: of no matter to the AML. */
const LOCAL_NOT_USED = 3144;

test('iasl compiles what it disassembles to the same AML', () => {
  fc.assert(
    // Many devices at a time: most of the time goes to starting iasl.
    fc.property(fc.array(content, { minLength: 40, maxLength: 40 }), (contents) => {
      const devices = contents.map((terms, index) => Device(`D${index}`, [Name('_ADR', index), ...terms]));
      const { bytes } = createDsdt(OEM, [...PRELUDE, Scope('\\_SB', devices)]);
      const again = compile(disassemble(bytes), [LOCAL_NOT_USED]);
      expect(Buffer.compare(again.subarray(HEADER), bytes.subarray(HEADER))).toBe(0);
    }),
    { numRuns: 8 },
  );
});

test('iasl has nothing against any notification', () => {
  const all = Array.from({ length: 0x100 }, (_, code) => Notify(Path('\\_SB.D'), code));
  const { bytes } = createDsdt(OEM, [Scope('\\_SB', [Device('D', [Name('_ADR', 0), Method('M', {}, all)])])]);
  expect(Buffer.compare(compile(disassemble(bytes)).subarray(HEADER), bytes.subarray(HEADER))).toBe(0);
});

describe('ASL and TypeScript make the same AML of', () => {
  const cases: [what: string, asl: string, terms: () => readonly ListTerm[]][] = [
    [
      'names and paths',
      'Scope (\\_SB) { Device (A) { Name (_ADR, Zero) Name (B, Package () { ^A, \\_SB, \\_SB.A.B }) } }',
      () => [
        Scope('\\_SB', [
          Device('A', [Name('_ADR', 0), Name('B', Package([Path('^A'), Path('\\_SB'), Path('\\_SB.A.B')]))]),
        ]),
      ],
    ],
    [
      'integers',
      'Name (A, Package () { Zero, One, 2, 0xFF, 0x100, 0xFFFF, 0x10000, 0x100000000, Ones })',
      () => [Name('A', Package([0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 2n ** 32n, 2n ** 64n - 1n]))],
    ],
    [
      'ids, strings and buffers',
      `Name (A, Package () { EisaId ("PNP0C0A"), "text", Buffer () { 1, 2, 3 }, Unicode ("Ab"),
        ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766") })`,
      () => [
        Name(
          'A',
          Package([
            EisaId('PNP0C0A'),
            'text',
            ByteBuffer(Uint8Array.of(1, 2, 3)),
            Unicode('Ab'),
            ToUUID('33db4d5b-1ff7-401c-9657-7441c03dd766'),
          ]),
        ),
      ],
    ],
    [
      'methods',
      `Mutex (M, 7)
       Method (F, 2, Serialized, 3) {
         Local0 = Buffer (Arg1) {}
         If (Arg0 != One) { Store (Arg1, Index (Local0, 2)) } Else { Return (Local0) }
         Return (Zero)
       }`,
      () => [
        Mutex('M', 7),
        Method('F', { arguments: 2, serialized: true, syncLevel: 3 }, [
          Store(BufferOfLength(Arg(1)), Local(0)),
          If(LNotEqual(Arg(0), 1), [Store(Arg(1), Index(Local(0), 2))], [Return(Local(0))]),
          Return(),
        ]),
      ],
    ],
    [
      'fields that start somewhere',
      `OperationRegion (R, SystemIO, 0x600, 16)
       Field (R, WordAcc, Lock, WriteAsZeros) { A, 4, , 3, B, 1, Offset (8), C, 64 }`,
      () => [
        OperationRegion('R', 'SystemIO', 0x600, 16),
        Field('R', { access: 'WordAcc', lock: true, update: 'WriteAsZeros' }, [
          { name: 'A', bits: 4 },
          { reserved: 3 },
          { name: 'B', bits: 1 },
          { offset: 64 },
          { name: 'C', bits: 64 },
        ]),
      ],
    ],
    [
      'resources',
      `Name (A, ResourceTemplate () {
         IO (Decode16, 0x60, 0x60, 1, 8)
         IRQ (Level, ActiveLow, Shared) { 5, 11 }
         Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 40 }
         QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Prefetchable, ReadOnly,
           0, 0x100000000, 0x1FFFFFFFF, 0, 0x100000000)
       })`,
      () => [
        Name(
          'A',
          ResourceTemplate([
            IO({ minimum: 0x60, length: 8 }),
            IRQ({ trigger: 'Level', polarity: 'ActiveLow', sharing: 'Shared' }, [5, 11]),
            Interrupt({ trigger: 'Edge', polarity: 'ActiveHigh', sharing: 'Exclusive' }, [40]),
            QWordMemory({
              minimum: 2 ** 32,
              maximum: 2 ** 33 - 1,
              caching: 'Prefetchable',
              writability: 'ReadOnly',
            }),
          ]),
        ),
      ],
    ],
  ];
  test.for(cases)('%s', ([, asl, terms]) => {
    const compiled = compile(`DefinitionBlock ("", "DSDT", 2, "TSVMM", "MACHINE", 1) { ${asl} }`);
    expect(Buffer.from(createDsdt(OEM, terms()).bytes.subarray(HEADER)).toString('hex')).toBe(
      Buffer.from(compiled.subarray(HEADER)).toString('hex'),
    );
  });
});

describe('what AML cannot say is refused', () => {
  const refused = (code: string) => expect.objectContaining({ name: 'AcpiError', code });
  const cases: [string, string, () => unknown][] = [
    ['a name of five characters', 'BAD_NAME', () => Name('FIVE5', 0)],
    ['a name that starts with a digit', 'BAD_NAME', () => Name('1ST', 0)],
    ['a name in lower case', 'BAD_NAME', () => Path('\\_sb')],
    ['no name', 'BAD_NAME', () => Device('', [])],
    ['a path with an empty segment', 'BAD_NAME', () => Path('\\_SB..PC00')],
    ['an EISA id with a letter too many', 'BAD_NAME', () => EisaId('PNPP0A0')],
    ['an integer of 65 bits', 'OUT_OF_RANGE', () => Name('A', 2n ** 64n)],
    ['an integer that is not exact', 'OUT_OF_RANGE', () => Name('A', 2 ** 53)],
    ['a negative integer', 'OUT_OF_RANGE', () => Name('A', -1)],
    ['local variable 8', 'OUT_OF_RANGE', () => Local(8)],
    ['argument 7', 'OUT_OF_RANGE', () => Arg(7)],
    ['a method with 8 arguments', 'OUT_OF_RANGE', () => Method('A', { arguments: 8 }, [])],
    ['a package of 256 elements', 'OUT_OF_RANGE', () => Package(new Array(256).fill(0))],
    ['a string with an umlaut', 'BAD_VALUE', () => Name('A', 'ä')],
    ['a UUID with a digit missing', 'BAD_VALUE', () => ToUUID('33db4d5b-1ff7-401c-9657-7441c03dd76')],
    [
      'interrupt 16 of the 8259',
      'OUT_OF_RANGE',
      () => IRQ({ trigger: 'Edge', polarity: 'ActiveHigh', sharing: 'Shared' }, [16]),
    ],
    ['a range that ends before it starts', 'BAD_VALUE', () => QWordMemory({ minimum: 2, maximum: 1 })],
    ['a field that goes back', 'BAD_VALUE', () => Field('R', {}, [{ name: 'A', bits: 9 }, { offset: 8 }])],
  ];
  test.for(cases)('%s', ([, code, make]) => {
    expect(make).toThrow(refused(code));
  });
});
