import {
  ConfigurationError,
  preferredArchitecture,
  VirtualMachine,
  type VirtualMachineConfiguration,
} from '@tsvmm/vmm';
import type { CommandContext } from '../commands/definition.ts';
import { ExitStatus, type GuestEnd, statusOfEnd } from '../exit-status.ts';
import type { Messages } from '../messages.ts';
import { withSignals } from '../signals.ts';
import { SystemLog } from '../syslog.ts';
import { type RunRequest, runRequest, spellingOf } from './request.ts';
import { runSession } from './session.ts';

/** `tsvmm run`: boots a guest and stays until it ends. */
export async function run(context: CommandContext): Promise<number> {
  const { line, messages, extendedStatus, syslogTag } = context;
  const request = runRequest(line);
  if (syslogTag !== undefined) messages.sink = new SystemLog(syslogTag);
  messages.machine = request.configuration.name;
  return withSignals(async (signal) => {
    try {
      const configuration = withTerminal(await withKernel(request.configuration, signal));
      await using machine = await VirtualMachine.create(configuration, {
        signal,
        log: ({ level, target, message }) => messages.report(level, message, target),
      });
      const { kind, reason } = await runSession(machine, { messages, signal });
      tellEnd(kind, reason, messages);
      return statusOfEnd(kind, extendedStatus);
    } catch (error) {
      const spelling = spellingOfError(request, error);
      if (spelling === undefined) throw error;
      messages.error(`${spelling}: ${(error as Error).message}`);
      messages.debugStack(error);
      return ExitStatus.failure;
    }
  });
}

/** The option that an error is about, as the user wrote it, if it is about one. */
function spellingOfError(request: RunRequest, error: unknown): string | undefined {
  if (error instanceof ConfigurationError) return spellingOf(request, error.option, error.index);
  // The library passes on what its parts throw.
  if (error instanceof Error && error.name === 'KernelImageError')
    return spellingOf(request, 'kernel', undefined);
  return undefined;
}

/**
 * The configuration with the default guest's kernel, and its initrd unless there is another, if it has neither kernel nor
 * firmware.
 */
async function withKernel(
  configuration: RunRequest['configuration'],
  signal: AbortSignal,
): Promise<VirtualMachineConfiguration> {
  if (configuration.kernel !== undefined || configuration.bios !== undefined) return configuration;
  const { fetchWithProgress } = await import('../guest/commands.ts');
  const guest = await fetchWithProgress(await preferredArchitecture(configuration.hypervisor), signal);
  return { initrd: guest.initrd, ...configuration, kernel: guest.kernel };
}

/** The configuration with the terminal's size for the virtio console at it, if there are both. */
function withTerminal(configuration: VirtualMachineConfiguration): VirtualMachineConfiguration {
  const { columns = 0, rows = 0 } = process.stdout;
  if (columns === 0 || rows === 0) return configuration;
  const serials = configuration.serials?.map((serial) => {
    const isPlain = serial.hardware === 'virtio-console' && serial.name === undefined;
    return isPlain && serial.stdin ? { ...serial, size: { columns, rows } } : serial;
  });
  return serials === undefined ? configuration : { ...configuration, serials };
}

function tellEnd(kind: GuestEnd, reason: string, messages: Messages): void {
  if (kind === 'reset') messages.info(`${reason}; that ends it`);
  else if (kind === 'panic') messages.error(`the guest kernel panicked: ${reason}`);
  else if (kind !== 'stop') messages.error(reason);
}
