import {
  boolean,
  KeyValueError,
  number,
  oneOf,
  optional,
  type PciAddress,
  parse,
  pciAddress,
  record,
  type Schema,
  string,
  tagged,
  vector,
} from '@tsvmm/keyvalue';
import type {
  AsyncExecutor,
  BlockConfiguration,
  CpusConfiguration,
  HypervisorConfiguration,
  MemoryConfiguration,
  PmemConfiguration,
  ScsiDiskConfiguration,
  SerialConfiguration,
} from '@tsvmm/vmm';
import { UsageError } from '../errors.ts';
import type { OptionDefinition } from '../options/definition.ts';
import type { GivenOption } from '../parse.ts';
import { valueError } from '../read-value.ts';

/** What a key that is not built is read as when it stands alone. */
const UNBUILT = Symbol('not built');

/** Executors under crosvm's names. */
const EXECUTORS = ['epoll', 'uring'] as const;

/** --mem */
export function memoryValue(given: GivenOption): MemoryConfiguration {
  const { size } = read(given, record({ size: number() }));
  return { sizeMiB: size };
}

/** --init-mem */
export function initialMemoryValue(given: GivenOption): number {
  return read(given, number());
}

/** --cpus */
export function cpusValue(given: GivenOption): CpusConfiguration {
  const fields = { 'num-cores': optional(number()), ...unbuiltFields(given.definition) };
  const count = read(given, record(fields))['num-cores'];
  return count === undefined ? {} : { count };
}

/** --block and its old spellings. */
export function blockValue(given: GivenOption): BlockConfiguration {
  const { path, ro, root, sparse, id, ...rest } = read(
    given,
    record({
      path: string(),
      ro: optional(boolean()),
      root: optional(boolean()),
      sparse: optional(boolean()),
      id: optional(string()),
      'block-size': optional(number({ alias: 'block_size' })),
      direct: optional(boolean({ alias: 'o_direct' })),
      lock: optional(boolean()),
      'packed-queue': optional(boolean()),
      'async-executor': optional(oneOf(...EXECUTORS)),
      ...unbuiltFields(given.definition),
    }),
  );
  const blockSize = rest['block-size'];
  const { name } = given.definition;
  return {
    path,
    readOnly: ro ?? (name === 'disk' || name === 'root'),
    root: root ?? (name === 'root' || name === 'rwroot'),
    ...(sparse !== undefined && { sparse }),
    ...(id !== undefined && { id }),
    ...(blockSize !== undefined && { blockSize }),
    ...(rest.direct !== undefined && { direct: rest.direct }),
    ...(rest.lock !== undefined && { lock: rest.lock }),
    ...(rest['packed-queue'] !== undefined && { packedQueue: rest['packed-queue'] }),
    ...(rest['async-executor'] !== undefined && { asyncExecutor: rest['async-executor'] }),
  };
}

/** --scsi-block */
export function scsiDiskValue(given: GivenOption): ScsiDiskConfiguration {
  const { path, ro, root, lock, ...rest } = read(
    given,
    record({
      path: string(),
      ro: optional(boolean()),
      root: optional(boolean()),
      'block-size': optional(number({ alias: 'block_size' })),
      lock: optional(boolean()),
    }),
  );
  const blockSize = rest['block-size'];
  return {
    path,
    ...(ro !== undefined && { readOnly: ro }),
    ...(root !== undefined && { root }),
    ...(blockSize !== undefined && { blockSize }),
    ...(lock !== undefined && { lock }),
  };
}

/** --pmem and its old spellings. */
export function pmemValue(given: GivenOption): PmemConfiguration {
  const { path, ro, root } = read(
    given,
    record({
      path: string(),
      ro: optional(boolean()),
      root: optional(boolean()),
      ...unbuiltFields(given.definition),
    }),
  );
  return {
    path,
    readOnly: ro ?? given.definition.name === 'pmem-device',
    ...(root !== undefined && { root }),
  };
}

/** --async-executor */
export function executorValue(given: GivenOption): AsyncExecutor {
  return read(given, oneOf(...EXECUTORS));
}

const SERIAL_FIELDS = {
  type: optional(oneOf('file', 'stdout', 'sink', 'syslog', 'unix', 'unix-stream')),
  hardware: optional(oneOf('serial', 'virtio-console', 'legacy-virtio-console', 'debugcon')),
  num: optional(number()),
  path: optional(string()),
  console: optional(boolean()),
  earlycon: optional(boolean()),
  stdin: optional(boolean()),
  input: optional(string()),
  'input-unix-stream': optional(boolean({ alias: 'input_unix_stream' })),
  'debugcon-port': optional(number({ alias: 'debugcon_port' })),
  name: optional(string()),
  'pci-address': optional(pciAddress()),
  'out-timestamp': optional(boolean({ alias: 'out_timestamp' })),
  'max-queue-sizes': optional(vector(number())),
};

/** --serial */
export function serialValue(given: GivenOption): SerialConfiguration {
  const value = read(given, record({ ...SERIAL_FIELDS, ...unbuiltFields(given.definition) }));
  const { hardware: kind, 'input-unix-stream': inputUnixStream, type, num, path, input } = value;
  const hardware = kind === 'legacy-virtio-console' ? 'virtio-console' : kind;
  return {
    ...(type !== undefined && { type }),
    ...(hardware !== undefined && { hardware }),
    ...(num !== undefined && { num }),
    ...(path !== undefined && { path }),
    ...(input !== undefined && { input }),
    ...(inputUnixStream !== undefined && { inputUnixStream }),
    ...(value.stdin !== undefined && { stdin: value.stdin }),
    ...(value['debugcon-port'] !== undefined && { debugconPort: value['debugcon-port'] }),
    ...(value.name !== undefined && { name: value.name }),
    ...(value['pci-address'] && { pciAddress: onlyDomain(given, value['pci-address']) }),
    ...(value['out-timestamp'] !== undefined && { outTimestamp: value['out-timestamp'] }),
    ...(value['max-queue-sizes'] !== undefined && { maxQueueSizes: value['max-queue-sizes'] }),
    ...(value.console !== undefined && { console: value.console }),
    ...(value.earlycon !== undefined && { earlycon: value.earlycon }),
  };
}

/** The address without its domain, of which there is only 0. */
export function onlyDomain(
  { spelling }: GivenOption,
  { domain, bus, device, function: fn }: PciAddress,
): Omit<PciAddress, 'domain'> {
  if (domain !== 0) throw new UsageError('INVALID_VALUE', `${spelling}: there is only PCI domain 0`);
  return { bus, device, function: fn };
}

/** Hypervisors that crosvm has and this version does not; the fields of their values do not matter then. */
const UNBUILT_HYPERVISORS = ['geniezone', 'gunyah', 'halla', 'whpx', 'haxm', 'ghaxm'];

/** --hypervisor */
export function hypervisorValue(given: GivenOption): HypervisorConfiguration {
  const unbuilt = UNBUILT_HYPERVISORS.find((name) => given.value?.split('[', 1)[0] === name);
  if (unbuilt !== undefined) {
    throw new UsageError(
      'NOT_BUILT',
      `${given.spelling}: ${unbuilt} is not built yet. Write ${given.spelling} soft, which runs everywhere.`,
    );
  }
  const { type, value } = read(
    given,
    tagged({ auto: null, soft: null, kvm: record({ device: optional(string()) }) }),
  );
  return type === 'kvm' && value.device !== undefined ? { kind: type, device: value.device } : { kind: type };
}

/** --kvm-device */
export function kvmDeviceValue({ value = '' }: GivenOption): HypervisorConfiguration {
  return { kind: 'kvm', device: value };
}

/**
 * The keys of an option's table that are not built, as fields that refuse themselves.
 * A key alone, without '=', is not read: `read` looks for those.
 */
function unbuiltFields(definition: OptionDefinition): Record<string, Schema<unknown> & { optional: true }> {
  const fields: Record<string, Schema<unknown> & { optional: true }> = {};
  for (const { name, availability } of definition.keys ?? []) {
    if (availability.kind !== 'not-built') continue;
    const refuse: Schema<unknown> = {
      read: (cursor) => {
        const start = Math.max(0, cursor.position - name.length - 1);
        throw cursor.error(
          'BAD_VALUE',
          `${name} is not built yet. ${availability.instead}`,
          start,
          name.length,
        );
      },
      field: { bare: UNBUILT },
    };
    fields[name] = optional(refuse);
  }
  return fields;
}

/** Reads an option's value; what is wrong with it is shown below the text, at its place. */
export function read<T>(given: GivenOption, schema: Schema<T>): T {
  const text = given.value ?? '';
  try {
    const value = parse(schema, text);
    for (const [name, field] of Object.entries(value as object)) {
      if (field !== UNBUILT) continue;
      const key = given.definition.keys?.find((candidate) => candidate.name === name);
      const instead = key?.availability.kind === 'not-built' ? key.availability.instead : '';
      const position = text.search(new RegExp(`(?<=^|,)${name}(?=,|$)`));
      throw new KeyValueError('BAD_VALUE', `${name} is not built yet. ${instead}`, position, name.length);
    }
    return value;
  } catch (error) {
    throw error instanceof KeyValueError ? valueError(given.spelling, text, error) : error;
  }
}
