import { DeviceError } from '../../errors.ts';
import type { InputAxis, InputDescription } from './model.ts';

/** What a file says of an input device. */
export interface CustomInput extends Omit<InputDescription, 'name' | 'serial'> {
  readonly name: string | undefined;
  readonly serial: string | undefined;
}

/** Codes are below what a bitmap of 128 bytes holds; axes are selected by a byte. */
const MAX_CODE = 1023;
const MAX_TYPE = 31;
const MAX_AXIS = 63;
const MAX_U32 = 2 ** 32 - 1;

/**
 * Reads crosvm's JSON description of an input device: `name` and `serial_name`; `properties`; `events`, each with
 * `event_type`, `event_type_code` and `supported_events`; `axis_info`, each with `axis`, `axis_code`, `min`, `max`, `fuzz` and
 * `flat`. Properties and events are objects of numbers by the names that people know them by, which do not count. What else
 * there is does not either.
 *
 * @throws DeviceError BAD_OPTION, which says where in the file it is
 */
export function readCustomInput(json: string): CustomInput {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new DeviceError(
      'BAD_OPTION',
      `This is not JSON: ${cause instanceof Error ? cause.message : cause}`,
      {
        cause,
      },
    );
  }
  const file = new Place('the file', value).object();
  const events = file.required('events').list((event) => {
    const fields = event.object();
    fields.required('event_type').text();
    const type = fields.required('event_type_code').number(MAX_TYPE);
    return [type, fields.required('supported_events').codes()] as const;
  });
  const repeated = events.find(([type], index) => events.slice(0, index).some(([other]) => other === type));
  if (repeated !== undefined) {
    throw new DeviceError(
      'BAD_OPTION',
      `There are two lists of events of type ${repeated[0]}: make them one.`,
    );
  }
  return {
    name: file.optional('name')?.text(),
    serial: file.optional('serial_name')?.text(),
    properties: file.optional('properties')?.codes() ?? [],
    events,
    axes: file.optional('axis_info')?.list(readAxis) ?? [],
  };
}

function readAxis(place: Place): InputAxis {
  const fields = place.object();
  fields.required('axis').text();
  return {
    code: fields.required('axis_code').number(MAX_AXIS),
    // Linux's are signed: a file has these as the same 32 bits.
    min: fields.required('min').number(MAX_U32),
    max: fields.required('max').number(MAX_U32),
    fuzz: fields.optional('fuzz')?.number(MAX_U32) ?? 0,
    flat: fields.optional('flat')?.number(MAX_U32) ?? 0,
  };
}

/** A value in the file, and where it is, for messages. */
class Place {
  readonly #path: string;
  readonly #value: unknown;

  constructor(path: string, value: unknown) {
    this.#path = path;
    this.#value = value;
  }

  object(): Fields {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#error('an object');
    return new Fields(this.#path, new Map<string, unknown>(Object.entries(value)));
  }

  list<T>(read: (item: Place) => T): T[] {
    if (!Array.isArray(this.#value)) throw this.#error('a list');
    return this.#value.map((item: unknown, index) => read(new Place(`${this.#path}[${index}]`, item)));
  }

  text(): string {
    if (typeof this.#value !== 'string') throw this.#error('a string');
    return this.#value;
  }

  number(max: number): number {
    const value = this.#value;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
    throw this.#error(`a whole number from 0 to ${max}`);
  }

  /** The numbers of an object, by whatever names. */
  codes(): number[] {
    const fields = this.object();
    return fields.names.map((name) => fields.required(name).number(MAX_CODE));
  }

  #error(wanted: string): DeviceError {
    return new DeviceError('BAD_OPTION', `${this.#path} has to be ${wanted}.`);
  }
}

class Fields {
  readonly #path: string;
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(path: string, fields: ReadonlyMap<string, unknown>) {
    this.#path = path;
    this.#fields = fields;
  }

  get names(): readonly string[] {
    return [...this.#fields.keys()];
  }

  required(name: string): Place {
    const place = this.optional(name);
    if (place === undefined) throw new DeviceError('BAD_OPTION', `${this.#path} has no ${name}.`);
    return place;
  }

  /** Undefined also for null, which is how some programs write what is not there. */
  optional(name: string): Place | undefined {
    const value = this.#fields.get(name);
    if (value === undefined || value === null) return undefined;
    return new Place(`${this.#path}'s ${name}`, value);
  }
}
