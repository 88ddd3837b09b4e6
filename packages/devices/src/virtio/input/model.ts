import { DeviceError } from '../../errors.ts';
import { VirtioDeviceId } from '../constants.ts';
import type { ConfigPage, VirtioDeviceModel } from '../transport/registers.ts';

export const InputQueue = { event: 0, status: 1 } as const;
const QUEUE_SIZE = 64;

/** What the driver selects (virtio 1.3, section 5.8.4). */
const Select = {
  name: 0x01,
  serial: 0x02,
  deviceIds: 0x03,
  properties: 0x10,
  events: 0x11,
  axis: 0x12,
} as const;

/** struct virtio_input_config: select, subsel, size, five reserved bytes, then what was selected. */
const PAYLOAD_LENGTH = 128;
const CONFIG_LENGTH = 8 + PAYLOAD_LENGTH;
/** Of struct virtio_input_devids and virtio_input_absinfo. */
const DEVICE_IDS_LENGTH = 8;
const AXIS_LENGTH = 20;

/** An axis that has positions, in units of its own. */
export interface InputAxis {
  /** ABS_* of Linux. */
  readonly code: number;
  readonly min: number;
  readonly max: number;
  /** Changes below this are noise; 0 unless given. */
  readonly fuzz?: number;
  /** Positions as near to the middle as this are the middle; 0 unless given. */
  readonly flat?: number;
}

/** An input device: events of Linux's input layer that it has, and what it is called. */
export interface InputDescription {
  readonly name: string;
  readonly serial: string;
  /** Each type of event with its codes. */
  readonly events: readonly (readonly [type: number, codes: readonly number[]])[];
  readonly axes?: readonly InputAxis[];
  /** INPUT_PROP_* of Linux. */
  readonly properties?: readonly number[];
}

/**
 * The transport's view of an input device.
 * @throws DeviceError BAD_OPTION when a name or a code does not fit into the configuration
 */
export function inputModel(description: InputDescription): VirtioDeviceModel {
  const { name, serial, events, axes = [], properties = [] } = description;
  const types = events.map(([type]) => type);
  const configPages: ConfigPage[] = [
    { select: Select.name, subselect: 0, data: text(name) },
    { select: Select.serial, subselect: 0, data: text(serial) },
    { select: Select.deviceIds, subselect: 0, data: new Uint8Array(DEVICE_IDS_LENGTH) },
    { select: Select.properties, subselect: 0, data: bitmap(properties) },
    { select: Select.events, subselect: 0, data: bitmap(types) },
    ...events.map(([type, codes]) => ({ select: Select.events, subselect: type, data: bitmap(codes) })),
    ...axes.map(({ code, min, max, fuzz = 0, flat = 0 }) => {
      const data = new DataView(new ArrayBuffer(AXIS_LENGTH));
      data.setUint32(0, min, true);
      data.setUint32(4, max, true);
      data.setUint32(8, fuzz, true);
      data.setUint32(12, flat, true);
      return { select: Select.axis, subselect: code, data: new Uint8Array(data.buffer) };
    }),
  ];
  return {
    deviceId: VirtioDeviceId.input,
    features: [],
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE],
    config: new Uint8Array(CONFIG_LENGTH),
    writableConfig: { start: 0, end: 2 },
    configPages,
  };
}

function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  if (bytes.length <= PAYLOAD_LENGTH) return bytes;
  throw new DeviceError('BAD_OPTION', `A name has at most ${PAYLOAD_LENGTH} bytes, unlike '${value}'.`);
}

/** The bits of some numbers, up to the last one's byte. */
function bitmap(numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.floor(Math.max(-1, ...numbers) / 8) + 1);
  for (const number of numbers) {
    const byte = Math.floor(number / 8);
    bytes[byte] = (bytes[byte] ?? 0) | (1 << (number % 8));
  }
  if (bytes.length <= PAYLOAD_LENGTH) return bytes;
  throw new DeviceError('BAD_OPTION', `An event's code is below ${8 * PAYLOAD_LENGTH}.`);
}
