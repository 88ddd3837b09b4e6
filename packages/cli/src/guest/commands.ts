import { fetchGuest, GUEST_ARCHITECTURES, type Guest, listGuests, removeGuest } from '@tsvmm/guest-image';
import { nearest } from '@tsvmm/keyvalue';
import { preferredArchitecture } from '@tsvmm/vmm';
import type { CommandContext } from '../commands/definition.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import type { CommandLine } from '../parse.ts';
import { withSignals } from '../signals.ts';
import { ProgressDisplay } from './progress.ts';

/** `tsvmm guest fetch` */
export async function fetch({ line }: CommandContext): Promise<number> {
  const architecture = architectureOf(line) ?? (await preferredArchitecture());
  return withSignals(async (signal) => {
    const guest = await fetchWithProgress(architecture, signal);
    print(isJson(line) ? json(guest) : describe(guest));
    return ExitStatus.success;
  });
}

/** `tsvmm guest list` */
export async function list({ line, messages }: CommandContext): Promise<number> {
  const guests = await listGuests();
  if (isJson(line)) print(json(guests));
  else if (guests.length === 0) messages.info('there are no guests yet; tsvmm guest fetch makes one');
  else print(guests.map(describe).join('\n'));
  return ExitStatus.success;
}

/** `tsvmm guest rm` */
export async function remove({ line, messages }: CommandContext): Promise<number> {
  const architecture = architectureOf(line);
  return withSignals(async (signal) => {
    const removed: Guest[] = [];
    for (const guest of await listGuests()) {
      if (architecture !== undefined && guest.architecture !== architecture) continue;
      await removeGuest({ architecture: guest.architecture, suite: guest.suite, signal });
      removed.push(guest);
    }
    if (isJson(line)) print(json(removed));
    else if (removed.length === 0) messages.info('there is no guest to remove');
    else print(removed.map((guest) => `removed ${title(guest)}\n`).join(''));
    return ExitStatus.success;
  });
}

/**
 * Finds or makes a guest, showing the progress.
 *
 * @throws {GuestImageError} and the reason of `signal`
 */
export async function fetchWithProgress(architecture: string, signal: AbortSignal): Promise<Guest> {
  using display = new ProgressDisplay();
  return await fetchGuest({ architecture, signal, onProgress: (progress) => display.show(progress) });
}

function architectureOf(line: CommandLine): string | undefined {
  const given = line.options.find(({ definition }) => definition.name === 'arch')?.value;
  if (given === undefined || GUEST_ARCHITECTURES.some((name) => name === given)) return given;
  const near = nearest(given, GUEST_ARCHITECTURES);
  const advice = near === undefined ? `there are ${GUEST_ARCHITECTURES.join(', ')}` : `did you mean ${near}?`;
  throw new UsageError(
    'INVALID_VALUE',
    `--arch: there are no guests for ${JSON.stringify(given)}; ${advice}`,
  );
}

function isJson(line: CommandLine): boolean {
  return line.options.some(({ definition }) => definition.name === 'json');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function title(guest: Guest): string {
  return `Debian ${guest.suite}, ${guest.architecture}, Linux ${guest.kernelVersion}`;
}

function describe(guest: Guest): string {
  return `${title(guest)}\n  kernel  ${guest.kernel}\n  initrd  ${guest.initrd}\n`;
}
