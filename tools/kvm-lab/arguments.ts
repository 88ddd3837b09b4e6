import { LabError } from './errors.ts';
import { LAB_ARCHITECTURES, type LabArchitecture } from './platform.ts';

export const HELP = `kvm-lab: a host with a real KVM, in an emulator, for ${LAB_ARCHITECTURES.join(', ')}

This machine need not have hardware virtualization, nor the architecture: QEMU emulates a host (L1) whose CPU has it, and
Debian's kernel offers /dev/kvm in it. This checkout runs there as it is, on a layer in memory: nothing it writes lasts.

    pnpm kvm-lab setup [ARCH...]                make the lab, of all architectures without ARCH; again: look for updates
    pnpm kvm-lab run ARCH -- COMMAND [ARG...]   boot an L1, run a command there in this directory, give its exit status
    pnpm kvm-lab test [ARCH...] [-- FILTER...]  run test files in an L1 of each ARCH, or of each that is set up;
                                                without FILTER those that are about KVM (also: pnpm test:kvm)

ARCH is one of ${LAB_ARCHITECTURES.join(', ')}; what is missing of it is set up first. Ctrl-C ends an L1 and all in it.

Options, before --:
    --console       show what L1's kernel prints
    --memory MIB    memory of L1, 3072 without it
    --qemu ARG      one more argument for QEMU, such as a device that a guest shall be given; can be repeated
    -h, --help      this

Examples:
    pnpm kvm-lab run x86_64 -- ls -l /dev/kvm
    pnpm kvm-lab test x86_64 -- packages/hypervisor/test/kvm-conformance.test.ts -t MSI
    pnpm kvm-lab run x86_64 --qemu -device --qemu e1000e -- pnpm tsvmm run --hypervisor kvm

The lab is kept in $TSVMM_KVM_LAB, or in the cache of tsvmm, and is made of Debian packages that apt fetches.
`;

/** What the command line asks for. */
export type Request =
  | { readonly command: 'help' }
  | { readonly command: 'setup'; readonly architectures: readonly LabArchitecture[] }
  | ({
      readonly command: 'run';
      readonly architecture: LabArchitecture;
      readonly program: readonly string[];
    } & Level1Request)
  | ({
      readonly command: 'test';
      readonly architectures: readonly LabArchitecture[];
      readonly filters: readonly string[];
    } & Level1Request);

/** What can be said about the L1 that a command is run in. */
export interface Level1Request {
  readonly console: boolean;
  readonly memory: number | undefined;
  readonly emulatorArguments: readonly string[];
}

/** @throws {LabError} USAGE */
export function parseArguments(words: readonly string[]): Request {
  const separator = words.indexOf('--');
  const own = separator < 0 ? words : words.slice(0, separator);
  const program = separator < 0 ? [] : words.slice(separator + 1);
  const [command, ...rest] = own;
  if (command === undefined || own.includes('--help') || own.includes('-h')) return { command: 'help' };

  const { names, level1 } = parseOptions(rest);
  const architectures = names.map(labArchitecture);
  switch (command) {
    case 'setup':
      return { command, architectures };
    case 'run': {
      const [architecture, ...others] = architectures;
      if (architecture === undefined || others.length > 0 || program.length === 0) {
        throw usage('run takes one architecture and, behind --, a command: kvm-lab run x86_64 -- uname -a');
      }
      return { command, architecture, program, ...level1 };
    }
    case 'test':
      return { command, architectures, filters: program, ...level1 };
    default:
      throw usage(`there is no command '${command}'; there are setup, run and test`);
  }
}

function parseOptions(words: readonly string[]): { names: string[]; level1: Level1Request } {
  const names: string[] = [];
  const emulatorArguments: string[] = [];
  let console = false;
  let memory: number | undefined;
  const queue = words.values();
  const valueBehind = (option: string): string => {
    const { value } = queue.next();
    if (value === undefined) throw usage(`${option} needs a value`);
    return value;
  };
  for (const word of queue) {
    if (word === '--console') console = true;
    else if (word === '--qemu') emulatorArguments.push(valueBehind(word));
    else if (word === '--memory') memory = mebibytes(valueBehind(word));
    else if (word.startsWith('-'))
      throw usage(`there is no option '${word}'; what L1 shall run goes behind --`);
    else names.push(word);
  }
  return { names, level1: { console, memory, emulatorArguments } };
}

function mebibytes(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 512) return value;
  throw usage(`--memory takes a number of MiB from 512, not '${text}'`);
}

function labArchitecture(name: string): LabArchitecture {
  const architecture = LAB_ARCHITECTURES.find((candidate) => candidate === name);
  if (architecture) return architecture;
  throw usage(`there is no lab for '${name}'; there are ${LAB_ARCHITECTURES.join(', ')}`);
}

function usage(message: string): LabError {
  return new LabError('USAGE', `${message} (kvm-lab --help tells more)`);
}
