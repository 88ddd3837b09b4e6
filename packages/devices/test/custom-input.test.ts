import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeviceError, inputModel, readCustomInput } from '../src/index.ts';

// crosvm's example of such a file (its documentation, "Input"), with an axis.
const PAD = {
  name: 'Pad',
  serial_name: 'pad-0',
  properties: { INPUT_PROP_DIRECT: 1 },
  events: [
    { event_type: 'EV_KEY', event_type_code: 1, supported_events: { BTN_TOUCH: 330, KEY_ESC: 1 } },
    { event_type: 'EV_ABS', event_type_code: 3, supported_events: { ABS_X: 0 } },
  ],
  axis_info: [{ axis: 'ABS_X', axis_code: 0, min: 0, max: 1023, fuzz: 4, flat: 8 }],
};

const read = (value: unknown) => readCustomInput(JSON.stringify(value));

/** What the driver finds under a selection (virtio 1.3, section 5.8.4). */
function page(value: unknown, select: number, subselect = 0): number[] | undefined {
  const { name = '', serial = '', ...rest } = read(value);
  const found = inputModel({ ...rest, name, serial }).configPages?.find(
    (candidate) => candidate.select === select && candidate.subselect === subselect,
  );
  return found && [...found.data];
}

test('what the file says becomes what the driver is told', () => {
  expect(page(PAD, 0x01)).toEqual([...Buffer.from('Pad')]);
  expect(page(PAD, 0x02)).toEqual([...Buffer.from('pad-0')]);
  expect(page(PAD, 0x10)).toEqual([2]);
  expect(page(PAD, 0x11)).toEqual([0b1010]);
  const keys = page(PAD, 0x11, 1) ?? [];
  expect([keys.length, keys[0], keys[41]]).toEqual([42, 2, 4]);
  const axis = new Uint32Array(Uint8Array.from(page(PAD, 0x12) ?? []).buffer);
  expect([...axis]).toEqual([0, 1023, 4, 8, 0]);
});

test('names, properties and axes can be left out', () => {
  const { name, serial, properties, axes } = read({ events: [], name: null, vendor: 'unknown' });
  expect([name, serial, properties, axes]).toEqual([undefined, undefined, [], []]);
});

const event = (change: object) => ({ ...PAD, events: [{ ...PAD.events[0], ...change }] });

test.each<[string, unknown, string]>([
  ['no object', [], 'the file has to be an object'],
  ['no events', {}, 'the file has no events'],
  ['events that are no list', { events: {} }, "the file's events has to be a list"],
  ['an event without a type', { events: [{}] }, "the file's events[0] has no event_type"],
  [
    'a type that there is not',
    event({ event_type_code: 32 }),
    'event_type_code has to be a whole number from 0 to 31',
  ],
  [
    'a code that does not fit',
    event({ supported_events: { KEY: 1024 } }),
    'KEY has to be a whole number from 0 to 1023',
  ],
  ['a code that is no number', event({ supported_events: { KEY: '1' } }), 'KEY has to be a whole number'],
  ['a type twice', { events: [PAD.events[0], PAD.events[0]] }, 'two lists of events of type 1'],
  ['a name that is none', { ...PAD, name: 3 }, "the file's name has to be a string"],
  ['an axis without an end', { ...PAD, axis_info: [{ axis: 'X', axis_code: 0, min: 0 }] }, 'has no max'],
])('%s is refused, and where it is', (_, value, problem) => {
  expect(() => read(value)).toThrowError(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(problem) }),
  );
});

test('what is not JSON is refused', () => {
  expect(() => readCustomInput('{')).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
});

test('whatever a file says becomes a device, or a DeviceError', () => {
  const number = fc.oneof(fc.nat(1100), fc.double(), fc.constantFrom(-1, 2 ** 32));
  const codes = fc.dictionary(fc.string(), number, { maxKeys: 4 });
  const file = fc.record(
    {
      name: fc.oneof(fc.string(), fc.constant(null)),
      properties: codes,
      events: fc.array(
        fc.record({ event_type: fc.string(), event_type_code: fc.nat(40), supported_events: codes }),
      ),
      axis_info: fc.array(fc.record({ axis: fc.string(), axis_code: number, min: number, max: number })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(file, fc.jsonValue()), (value) => {
      try {
        const { name = '', serial = '', ...rest } = read(value);
        inputModel({ ...rest, name, serial });
      } catch (error) {
        expect(error).toBeInstanceOf(DeviceError);
      }
    }),
  );
});
