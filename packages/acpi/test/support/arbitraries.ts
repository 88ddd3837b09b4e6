import fc from 'fast-check';
import {
  Acquire,
  Add,
  And,
  Arg,
  Break,
  ByteBuffer,
  Call,
  Concatenate,
  ConcatenateResTemplate,
  CondRefOf,
  Continue,
  CopyObject,
  CreateBitField,
  CreateByteField,
  CreateDWordField,
  CreateField,
  CreateQWordField,
  CreateWordField,
  type Data,
  Decrement,
  DerefOf,
  Device,
  Divide,
  DMA,
  DWordIO,
  DWordMemory,
  Event,
  Field,
  FindSetLeftBit,
  FindSetRightBit,
  FixedIO,
  FromBCD,
  If,
  Increment,
  Index,
  IndexField,
  Interrupt,
  IO,
  IRQ,
  IRQNoFlags,
  LAnd,
  LEqual,
  LGreater,
  LGreaterEqual,
  type ListTerm,
  LLess,
  LLessEqual,
  LNot,
  LNotEqual,
  LOr,
  Local,
  Memory32,
  Memory32Fixed,
  Method,
  Mid,
  Mod,
  Multiply,
  Mutex,
  Name,
  Nand,
  Noop,
  Nor,
  Not,
  Notify,
  ObjectType,
  OperationRegion,
  Or,
  Package,
  Path,
  PowerResource,
  QWordIO,
  QWordMemory,
  RefOf,
  Release,
  Reset,
  type Resource,
  ResourceTemplate,
  Return,
  ShiftLeft,
  ShiftRight,
  Signal,
  SizeOf,
  Sleep,
  Stall,
  Store,
  Subtract,
  ThermalZone,
  Timer,
  ToBCD,
  ToBuffer,
  ToDecimalString,
  ToHexString,
  ToInteger,
  ToString,
  Unicode,
  type Value,
  VarPackage,
  Wait,
  While,
  WordBusNumber,
  WordIO,
  Xor,
} from '../../src/aml/index.ts';

// AML that means something, so that iasl compiles what it has disassembled. The names that are used are in PRELUDE.

/** What the generated terms refer to; it goes before them. */
export const PRELUDE: readonly ListTerm[] = [
  Device('\\_SB.DEV0', [Name('_ADR', 0)]),
  Mutex('\\MTX0', 3),
  Event('\\EVT0'),
  Name('\\BUF0', ByteBuffer(new Uint8Array(64))),
  Method('\\MTHD', { arguments: 2 }, [Return(Add(Arg(0), Arg(1)))]),
];

const integer = fc.oneof(
  fc.constantFrom(0, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.nat(),
);
const text = fc.string({ unit: 'grapheme-ascii', maxLength: 80 });
/** iasl takes a buffer that ends like a resource template for one, and computes the checksum of its end tag anew. */
const END_TAG = 0x79;
const bytes = fc
  .uint8Array({ maxLength: 100 })
  .filter((list) => list.at(-2) !== END_TAG)
  .map(ByteBuffer);
const local = fc.nat(7).map(Local);
const argument = fc.nat(6).map(Arg);
const variable = fc.oneof(local, argument);
const target = fc.option(local, { nil: undefined });

const { data } = fc.letrec<{ data: Data }>((tie) => ({
  data: fc.oneof(
    { depthSize: 'small' },
    integer,
    text,
    bytes,
    fc.array(tie('data'), { maxLength: 20 }).map(Package),
  ),
}));

const INTEGER_OPERATORS = [
  Add,
  Subtract,
  Multiply,
  Mod,
  ShiftLeft,
  ShiftRight,
  And,
  Nand,
  Or,
  Nor,
  Xor,
] as const;
const COMPARISONS = [LAnd, LOr, LEqual, LNotEqual, LGreater, LGreaterEqual, LLess, LLessEqual] as const;
const UNARY_OPERATORS = [Not, FindSetLeftBit, FindSetRightBit, FromBCD, ToBCD, ToInteger] as const;

const { number } = fc.letrec<{ number: Value }>((tie) => ({
  number: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    integer,
    variable,
    fc
      .tuple(fc.constantFrom(...INTEGER_OPERATORS), tie('number'), tie('number'), target)
      .map(([operator, left, right, to]) => operator(left, right, to)),
    fc
      .tuple(fc.constantFrom(...COMPARISONS), tie('number'), tie('number'))
      .map(([operator, left, right]) => operator(left, right)),
    fc
      .tuple(fc.constantFrom(...UNARY_OPERATORS), tie('number'), target)
      .map(([operator, value, to]) => operator(value, to)),
    tie('number').map((value) => LNot(value)),
    fc
      .tuple(tie('number'), tie('number'), target, target)
      .map(([dividend, divisor, remainder, quotient]) => Divide(dividend, divisor, remainder, quotient)),
    fc.constantFrom(SizeOf, ObjectType).chain((operator) => variable.map((object) => operator(object))),
    fc.tuple(variable, tie('number')).map(([array, index]) => DerefOf(Index(array, index))),
    fc.tuple(tie('number'), tie('number')).map(([a, b]) => Call('\\MTHD', a, b)),
    fc.constant(Timer),
  ),
}));

const string: fc.Arbitrary<Value> = fc.oneof(
  text,
  fc.tuple(text, fc.oneof(text, variable), target).map(([a, b, to]) => Concatenate(a, b, to)),
  fc
    .tuple(fc.constantFrom(ToHexString, ToDecimalString, ToBuffer), number, target)
    .map(([operator, value, to]) => operator(value, to)),
  fc.tuple(variable, number, target).map(([value, length, to]) => ToString(value, length, to)),
  fc.tuple(text, number, number, target).map(([source, start, length, to]) => Mid(source, start, length, to)),
);

const value: fc.Arbitrary<Value> = fc.oneof(
  number,
  string,
  data,
  variable.map(RefOf),
  fc.tuple(variable, variable, target).map(([a, b, to]) => ConcatenateResTemplate(a, b, to)),
  fc.tuple(variable, fc.array(data, { maxLength: 5 })).map(([count, list]) => VarPackage(count, list)),
);

const { statements } = fc.letrec<{ statements: ListTerm[]; statement: ListTerm }>((tie) => ({
  statements: fc.array(tie('statement'), { maxLength: 6 }),
  statement: fc.oneof(
    { depthSize: 'small' },
    fc.tuple(value, local).map(([what, to]) => Store(what, to)),
    fc.tuple(value, local).map(([what, to]) => CopyObject(what, to)),
    fc.constantFrom(Increment, Decrement).chain((operator) => local.map((object) => operator(object))),
    fc
      .tuple(number, tie('statements'), tie('statements'))
      .map(([condition, then, otherwise]) => If(condition, then, otherwise)),
    fc
      .tuple(number, tie('statements'), fc.constantFrom(Break, Continue))
      .map(([condition, body, end]) => While(condition, [...body, end])),
    number.map((code) => Notify(Path('\\_SB.DEV0'), code)),
    fc.nat(2000).map(Sleep),
    fc.nat(100).map(Stall),
    fc.constantFrom(Noop, Signal(Path('\\EVT0')), Reset(Path('\\EVT0'))),
    fc.tuple(number, local).map(([time, to]) => Store(Wait(Path('\\EVT0'), time), to)),
    local.map((to) => Store(CondRefOf(Path('\\_SB.DEV0'), to), to)),
  ),
}));

/** A body for methods with seven arguments. Locals have a value before they are used, as iasl wants it. */
const body = fc.tuple(statements, value).map(([list, result]) => [
  ...Array.from({ length: 8 }, (_, index) => Store(index, Local(index))),
  // iasl wants every mutex released, and the result of Acquire looked at.
  If(LNot(Acquire(Path('\\MTX0'), 0xffff)), [Release(Path('\\MTX0'))]),
  ...list,
  Return(result),
]);

const interruptMode = fc.record({
  trigger: fc.constantFrom('Edge' as const, 'Level' as const),
  polarity: fc.constantFrom('ActiveHigh' as const, 'ActiveLow' as const),
  sharing: fc.constantFrom('Exclusive' as const, 'Shared' as const),
});
const usage = fc.constantFrom('ResourceConsumer' as const, 'ResourceProducer' as const);
const writability = fc.constantFrom('ReadOnly' as const, 'ReadWrite' as const);

/** A range of addresses that iasl thinks possible: fixed, or one whose granularity fits its ends and length. */
function addressRange(bits: number) {
  const maximum = 2n ** BigInt(bits) - 1n;
  const fixed = fc
    .tuple(fc.bigInt({ min: 0n, max: maximum }), fc.bigInt({ min: 0n, max: maximum }))
    .filter(([a, b]) => !(a === 0n && b === maximum) && !(b === 0n && a === maximum))
    .map(([a, b]) => (a < b ? { minimum: a, maximum: b } : { minimum: b, maximum: a }));
  const movable = fc.bigInt({ min: 1n, max: 2n ** BigInt(bits - 4) }).map((pages) => ({
    minimum: 0n,
    maximum: pages * 8n - 1n,
    length: 8n,
    granularity: 7n,
    minimumFixed: false,
    maximumFixed: false,
  }));
  return fc
    .tuple(fc.oneof(fixed, movable), usage, fc.constantFrom('PosDecode' as const, 'SubDecode' as const))
    .map(([range, kind, decode]) => ({ ...range, usage: kind, decode }));
}

const memoryOptions = fc.record({
  caching: fc.constantFrom(
    'NonCacheable' as const,
    'Cacheable' as const,
    'WriteCombining' as const,
    'Prefetchable' as const,
  ),
  writability,
});
const ioOptions = fc.record({
  ranges: fc.constantFrom('NonISAOnly' as const, 'ISAOnly' as const, 'EntireRange' as const),
});

const resource: fc.Arbitrary<Resource> = fc.oneof(
  fc
    .tuple(interruptMode, fc.uniqueArray(fc.nat(15), { maxLength: 16 }))
    .map(([mode, list]) => IRQ(mode, list)),
  fc.uniqueArray(fc.nat(15)).map(IRQNoFlags),
  fc
    .tuple(
      fc.record({
        type: fc.constantFrom('Compatibility' as const, 'TypeA' as const, 'TypeB' as const, 'TypeF' as const),
        busMaster: fc.boolean(),
        transfer: fc.constantFrom('Transfer8' as const, 'Transfer8_16' as const, 'Transfer16' as const),
      }),
      fc.uniqueArray(fc.nat(7)),
    )
    .map(([mode, list]) => DMA(mode, list)),
  fc
    .record({
      decode: fc.constantFrom('Decode10' as const, 'Decode16' as const),
      minimum: fc.nat(0x3ff),
      length: fc.integer({ min: 1, max: 0xff }),
    })
    .map(IO),
  fc.tuple(fc.nat(0x300), fc.integer({ min: 1, max: 0xff })).map(([base, length]) => FixedIO(base, length)),
  fc
    .tuple(writability, fc.nat(0xfff), fc.integer({ min: 1, max: 0xffff }))
    .map(([access, page, length]) => Memory32Fixed(access, page * 0x1000, length)),
  fc
    .tuple(writability, fc.nat(0xfff), fc.nat(0xff), fc.integer({ min: 1, max: 0x1000 }))
    .map(([access, page, pages, length]) =>
      Memory32(access, {
        minimum: page * 0x1000,
        maximum: (page + pages) * 0x1000 + 0x1000,
        alignment: 0x1000,
        length,
      }),
    ),
  fc
    .tuple(
      interruptMode,
      usage,
      fc.boolean(),
      fc.uniqueArray(fc.nat(0xffff_ff), { minLength: 1, maxLength: 40 }),
    )
    .map(([mode, kind, wake, list]) => Interrupt({ ...mode, usage: kind, wake }, list)),
  fc.tuple(addressRange(32), memoryOptions).map(([range, options]) => DWordMemory({ ...range, ...options })),
  fc.tuple(addressRange(64), memoryOptions).map(([range, options]) => QWordMemory({ ...range, ...options })),
  fc.tuple(addressRange(16), ioOptions).map(([range, options]) => WordIO({ ...range, ...options })),
  fc.tuple(addressRange(32), ioOptions).map(([range, options]) => DWordIO({ ...range, ...options })),
  fc.tuple(addressRange(64), ioOptions).map(([range, options]) => QWordIO({ ...range, ...options })),
  addressRange(16).map(WordBusNumber),
);

const fieldOptions = fc.record(
  {
    access: fc.constantFrom(
      'AnyAcc' as const,
      'ByteAcc' as const,
      'WordAcc' as const,
      'DWordAcc' as const,
      'QWordAcc' as const,
    ),
    lock: fc.boolean(),
    update: fc.constantFrom('Preserve' as const, 'WriteAsOnes' as const, 'WriteAsZeros' as const),
  },
  { requiredKeys: [] },
);
/** Not 63, for whose length iasl takes two bytes, although the specification needs one. */
const bitCount = fc.oneof(fc.integer({ min: 1, max: 62 }), fc.constantFrom(64, 100, 4096));
const fieldBits = fc.array(fc.record({ reserved: fc.option(bitCount), bits: bitCount }), {
  minLength: 1,
  maxLength: 5,
});

/** Fields `F0` to `F4`, each behind some bits without a name. */
const units = (list: readonly { reserved: number | null; bits: number }[]) =>
  list.flatMap(({ reserved, bits }, index) => [
    ...(reserved === null ? [] : [{ reserved }]),
    { name: `F${index}`, bits },
  ]);

const BUFFER_FIELDS = [CreateBitField, CreateByteField, CreateWordField, CreateDWordField, CreateQWordField];

/** A device with some of everything in it; it still needs a name. */
export const content: fc.Arbitrary<readonly ListTerm[]> = fc
  .record(
    {
      data: data.map((constant) => [Name('DATA', constant)]),
      // iasl takes a Unicode string for a constant only, never for an operand.
      unicode: text.map((string) => [Name('_STR', Unicode(string))]),
      resources: fc.array(resource, { maxLength: 8 }).map((list) => [Name('RES0', ResourceTemplate(list))]),
      method: fc
        .tuple(body, fc.boolean(), fc.nat(15))
        .map(([list, serialized, syncLevel]) => [
          Method('METH', { arguments: 7, serialized, ...(serialized && { syncLevel }) }, list),
        ]),
      region: fc
        .tuple(
          fc.constantFrom('SystemMemory' as const, 'SystemIO' as const, 'PCI_Config' as const),
          fc.nat(0xffff),
          fieldOptions,
          fieldBits,
        )
        .map(([space, offset, options, list]) => [
          OperationRegion('REGN', space, offset, 0x1_0000),
          Field('REGN', options, units(list)),
        ]),
      index: fieldBits.map((list) => [
        Device('IDX0', [
          Name('_ADR', 1),
          OperationRegion('REGI', 'SystemIO', 0x70, 2),
          Field('REGI', { access: 'ByteAcc' }, [
            { name: 'INDX', bits: 8 },
            { name: 'DATA', bits: 8 },
          ]),
          IndexField('INDX', 'DATA', { access: 'ByteAcc' }, units(list)),
        ]),
      ]),
      bufferFields: fc
        .tuple(fc.nat(7), fc.integer({ min: 1, max: 64 }))
        .map(([offset, bits]) => [
          ...BUFFER_FIELDS.map((create, index) => create(Path('\\BUF0'), offset, `B${index}`)),
          CreateField(Path('\\BUF0'), offset, bits, 'B9'),
        ]),
      power: fc
        .tuple(fc.nat(5), fc.nat(0xffff))
        .map(([level, order]) => [
          PowerResource('PWR0', level, order, [
            Name('_STA', 1),
            Method('_ON', {}, []),
            Method('_OFF', {}, []),
          ]),
        ]),
      thermal: fc.nat().map((temperature) => [ThermalZone('TZ0', [Name('_TMP', temperature)])]),
    },
    { requiredKeys: [] },
  )
  .map((parts) => Object.values(parts).flat());
