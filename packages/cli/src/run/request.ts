import type {
  AsyncExecutor,
  BalloonConfiguration,
  BlockConfiguration,
  BoardConfiguration,
  ConfigurationOption,
  CpusConfiguration,
  FwCfgConfiguration,
  HypervisorConfiguration,
  InputConfiguration,
  MemoryConfiguration,
  PflashConfiguration,
  PmemConfiguration,
  SandboxConfiguration,
  ScsiDiskConfiguration,
  SerialConfiguration,
  VhostUserConfiguration,
  VirtualMachineConfiguration,
} from '@tsvmm/vmm';
import { UsageError } from '../errors.ts';
import type { CommandLine, GivenOption } from '../parse.ts';
import { fwCfgValue, irqchipValue, nestedValue, pciValue, pflashValue, smbiosValue } from './board-values.ts';
import { inputValue, socketValue, touchValue } from './input-values.ts';
import { sandboxValue } from './sandbox-value.ts';
import {
  blockValue,
  cpusValue,
  executorValue,
  hypervisorValue,
  initialMemoryValue,
  kvmDeviceValue,
  memoryValue,
  pmemValue,
  scsiDiskValue,
  serialValue,
} from './values.ts';
import { connectTimeLimitValue, vhostUserValue } from './vhost-user-values.ts';

/** A machine as the command line describes it. */
export interface RunRequest {
  /** Without kernel and firmware, the default guest is meant. */
  readonly configuration: VirtualMachineConfiguration;
  /** The options behind the fields of the configuration; lists have one for each of their elements. */
  readonly origins: ReadonlyMap<ConfigurationOption, readonly GivenOption[]>;
}

/** The configuration while options are added to it. */
interface Draft {
  initrd?: string;
  params: string[];
  name?: string;
  memory?: MemoryConfiguration;
  cpus?: CpusConfiguration;
  rng?: boolean;
  balloon?: false | BalloonConfiguration;
  usb?: false;
  sandbox?: SandboxConfiguration | false;
  asyncExecutor?: AsyncExecutor;
  blocks: BlockConfiguration[];
  scsiDisks: ScsiDiskConfiguration[];
  pmems: PmemConfiguration[];
  serials: SerialConfiguration[];
  inputs: InputConfiguration[];
  vhostUser: VhostUserConfiguration[];
  vhostUserConnectTimeLimit?: number;
  hypervisor?: HypervisorConfiguration;
  bios?: string;
  pflash?: PflashConfiguration;
  fwCfg?: FwCfgConfiguration[];
  acpiTables?: string[];
  smbios?: NonNullable<BoardConfiguration['smbios']>;
  pci?: NonNullable<BoardConfiguration['pci']>;
  i8042?: boolean;
  rtc?: boolean;
  irqchip?: NonNullable<BoardConfiguration['irqchip']>;
  nested?: NonNullable<BoardConfiguration['nested']>;
}

type ListField = 'params' | 'blocks' | 'scsiDisks' | 'pmems' | 'serials' | 'inputs' | 'vhostUser';

interface Handler {
  /** The field of the configuration that the option is about. */
  readonly field: ConfigurationOption;
  apply(draft: Draft, given: GivenOption): void;
}

/** A handler for an option that fills a field. */
function set<K extends Exclude<keyof Draft, ListField>>(
  field: K,
  read: (given: GivenOption) => NonNullable<Draft[K]>,
): Handler {
  return {
    field,
    apply(draft, given) {
      draft[field] = read(given);
    },
  };
}

/** A handler for an option that adds to a list. */
function add<K extends ListField>(field: K, read: (given: GivenOption) => Draft[K][number]): Handler {
  return {
    field,
    apply(draft, given) {
      const list: Draft[K][number][] = draft[field];
      list.push(read(given));
    },
  };
}

/** A handler for an option that leaves the balloon out, or says what it does. */
function balloon(value: false | BalloonConfiguration): Handler {
  return {
    field: 'balloon',
    apply(draft, { spelling }) {
      if (draft.balloon !== undefined && (draft.balloon === false) !== (value === false)) {
        throw new UsageError(
          'CONFLICTING_OPTIONS',
          `${spelling}: --no-balloon leaves no balloon that could do more. Leave out one of the two.`,
        );
      }
      draft.balloon = value;
    },
  };
}

const SANDBOX: Handler = {
  field: 'sandbox',
  apply(draft, given) {
    draft.sandbox = sandboxValue(draft.sandbox ?? {}, given);
  },
};

/** What the options of `run` that have an effect do, by long name. */
export const HANDLERS: Readonly<Record<string, Handler>> = {
  initrd: set('initrd', text),
  params: add('params', ({ value = '' }) => value),
  name: set('name', text),
  mem: {
    field: 'memory',
    apply(draft, given) {
      draft.memory = { ...draft.memory, ...memoryValue(given) };
    },
  },
  'init-mem': {
    field: 'memory',
    apply(draft, given) {
      draft.memory = { ...draft.memory, initialMiB: initialMemoryValue(given) };
    },
  },
  cpus: set('cpus', cpusValue),
  'no-rng': set('rng', () => false),
  'no-usb': set('usb', () => false),
  'no-balloon': balloon(false),
  'balloon-page-reporting': balloon({ pageReporting: true }),
  block: add('blocks', blockValue),
  disk: add('blocks', blockValue),
  rwdisk: add('blocks', blockValue),
  root: add('blocks', blockValue),
  rwroot: add('blocks', blockValue),
  'scsi-block': add('scsiDisks', scsiDiskValue),
  pmem: add('pmems', pmemValue),
  'pmem-device': add('pmems', pmemValue),
  'rw-pmem-device': add('pmems', pmemValue),
  'async-executor': set('asyncExecutor', executorValue),
  serial: add('serials', serialValue),
  input: add('inputs', inputValue),
  keyboard: add('inputs', (given) => socketValue('keyboard', given)),
  mouse: add('inputs', (given) => socketValue('mouse', given)),
  rotary: add('inputs', (given) => socketValue('rotary', given)),
  switches: add('inputs', (given) => socketValue('switches', given)),
  'single-touch': add('inputs', (given) => touchValue('single-touch', given)),
  'multi-touch': add('inputs', (given) => touchValue('multi-touch', given)),
  trackpad: add('inputs', (given) => touchValue('trackpad', given)),
  bios: set('bios', text),
  pflash: set('pflash', pflashValue),
  'fw-cfg': {
    field: 'fwCfg',
    apply(draft, given) {
      draft.fwCfg = [...(draft.fwCfg ?? []), fwCfgValue(given)];
    },
  },
  'enable-fw-cfg': {
    field: 'fwCfg',
    apply(draft) {
      draft.fwCfg ??= [];
    },
  },
  smbios: {
    field: 'smbios',
    apply(draft, given) {
      draft.smbios = { ...draft.smbios, ...smbiosValue(given) };
    },
  },
  'oem-strings': {
    field: 'smbios',
    apply(draft, given) {
      draft.smbios = { ...draft.smbios, oemStrings: [...(draft.smbios?.oemStrings ?? []), text(given)] };
    },
  },
  'acpi-table': {
    field: 'acpiTables',
    apply(draft, given) {
      draft.acpiTables = [...(draft.acpiTables ?? []), text(given)];
    },
  },
  pci: set('pci', pciValue),
  'no-i8042': set('i8042', () => false),
  'no-rtc': set('rtc', () => false),
  irqchip: set('irqchip', irqchipValue),
  'split-irqchip': set('irqchip', () => ({ kind: 'split' })),
  nested: set('nested', nestedValue),
  'vhost-user': add('vhostUser', vhostUserValue),
  'vhost-user-connect-timeout-ms': set('vhostUserConnectTimeLimit', connectTimeLimitValue),
  'disable-sandbox': SANDBOX,
  'pivot-root': SANDBOX,
  'seccomp-policy-dir': SANDBOX,
  'seccomp-log-failures': SANDBOX,
  hypervisor: set('hypervisor', hypervisorValue),
  'kvm-device': set('hypervisor', kvmDeviceValue),
};

/**
 * Makes a configuration of the options of `tsvmm run`.
 *
 * @throws {UsageError} if a value cannot be read
 */
export function runRequest(line: Pick<CommandLine, 'options' | 'operands'>): RunRequest {
  const draft: Draft = {
    params: [],
    blocks: [],
    scsiDisks: [],
    pmems: [],
    serials: [],
    inputs: [],
    vhostUser: [],
  };
  const origins = new Map<ConfigurationOption, GivenOption[]>();
  for (const given of line.options) {
    const handler = HANDLERS[given.definition.name];
    if (handler === undefined) continue;
    handler.apply(draft, given);
    const before = origins.get(handler.field);
    if (before === undefined) origins.set(handler.field, [given]);
    else before.push(given);
  }
  const kernel = line.operands[0];
  return { configuration: kernel === undefined ? draft : { ...draft, kernel }, origins };
}

/** How the user wrote what an element of the configuration came from, for the head of a message. */
export function spellingOf(
  request: RunRequest,
  field: ConfigurationOption,
  index: number | undefined,
): string {
  if (field === 'kernel') return 'KERNEL';
  const origins = request.origins.get(field);
  const given = origins?.[index ?? 0];
  if (given === undefined) {
    const name = Object.keys(HANDLERS).find((candidate) => HANDLERS[candidate]?.field === field);
    return name === undefined ? field : `--${name}`;
  }
  // Which one of several is meant, only its value can say.
  const several = origins !== undefined && origins.length > 1 && given.value !== undefined;
  return several ? `${given.spelling} ${given.value}` : given.spelling;
}

function text({ spelling, value = '' }: GivenOption): string {
  if (value === '') throw new UsageError('INVALID_VALUE', `${spelling} needs a value that is not empty`);
  return value;
}
