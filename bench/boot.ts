import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, copyFile, mkdtempDisposable, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpioArchive } from '../packages/cpio/src/index.ts';
import { fetchGuest } from '../packages/guest-image/src/index.ts';
import type { BenchmarkRow } from './run.ts';
import { median } from './support/timing.ts';

const TSVMM = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const ROUNDS = 7;
const WARM_UP_ROUNDS = 1;
const MEMORY = 256;
const DISK_SIZE = 16 * 2 ** 20;
/** What a boot prints when it has come to where its time is taken. */
const MARK = 'K';
/** Nothing printed for so long is a hang, milliseconds. */
const PATIENCE = 120_000;

export const description = 'a boot of Linux on KVM, against QEMU with KVM: the same files and devices';

/** What one process does in QEMU, and what tsvmm does with a jailed process for each device. */
const SANDBOXES = { 'in one process': ['--disable-sandbox'], sandboxed: [] };

/** The programs boot in turn, so that whatever else the machine does hits both alike. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  if (process.arch !== 'x64') throw new Error('This benchmark needs an x86_64 host with KVM');
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tsvmm-boot-'));
  const files = await prepare(directory.path);
  for (const [where, options] of Object.entries(SANDBOXES)) {
    const toEntry = await compare({ ...files, kernel: files.entryKernel }, options);
    const toInit = await compare(files, options);
    const row = (what: string, ours: number, peer: number) =>
      report({ what: `${what}, ${where}`, ours, peer, unit: 'ms', ratio: peer / ours });
    row('process start to kernel entry', toEntry.ours, toEntry.peer);
    row('kernel entry to init', toInit.ours - toEntry.ours, toInit.peer - toEntry.peer);
    row('process start to init', toInit.ours, toInit.peer);
  }
}

interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}

/** Makes what is booted. `entryKernel` is the kernel, but for its first instructions: they print the mark. */
async function prepare(directory: string): Promise<BootFiles & { readonly entryKernel: string }> {
  const guest = await fetchGuest({ architecture: process.arch });
  const initrd = join(directory, 'initrd');
  await copyFile(guest.initrd, initrd);
  // The kernel unpacks one archive after the other. The mark is what its first process does first.
  const script = `#!/bin/busybox sh\necho ${MARK}\nexec /bin/busybox sleep 1000\n`;
  await appendFile(
    initrd,
    cpioArchive((archive) => archive.file('first', script, { mode: 0o755 })),
  );
  const disk = join(directory, 'disk');
  await writeFile(disk, '');
  await truncate(disk, DISK_SIZE);
  const entryKernel = join(directory, 'entry-kernel');
  await writeFile(entryKernel, printingAtEntry(await readFile(guest.kernel)));
  return { kernel: guest.kernel, initrd, disk, entryKernel };
}

/**
 * A bzImage that prints the mark on COM1 wherever it is entered: in real mode, as by firmware, or at the entries of 32 or
 * 64 bits (Linux's boot protocol, "Details of Header Fields").
 */
function printingAtEntry(bzImage: Buffer): Buffer {
  const setupSectors = bzImage[0x1f1] ?? 0;
  const protectedMode = (setupSectors + 1) * 512;
  // At 0x200 is a short jump over the header.
  const realMode = 0x202 + bzImage.readInt8(0x201);
  // mov edx, 0x3f8; mov al, MARK; out dx, al; again: hlt; jmp again. To a CPU with 16 bits, two bytes of it are an add.
  const program = [0xba, 0xf8, 0x03, 0, 0, 0xb0, MARK.charCodeAt(0), 0xee, 0xf4, 0xeb, 0xfd];
  const patched = Buffer.from(bzImage);
  for (const entry of [realMode, protectedMode, protectedMode + 0x200]) patched.set(program, entry);
  return patched;
}

/** Medians of milliseconds from the start of the programs to the mark. */
async function compare(
  files: BootFiles,
  sandbox: readonly string[],
): Promise<{ readonly ours: number; readonly peer: number }> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const peer = await timeToMark('qemu-system-x86_64', qemuParameters(files));
    const our = await timeToMark(process.execPath, tsvmmParameters(files, sandbox));
    if (round < 0) continue;
    ours.push(our);
    theirs.push(peer);
  }
  return { ours: median(ours), peer: median(theirs) };
}

const PARAMETERS = 'quiet rdinit=/first';

function tsvmmParameters({ kernel, initrd, disk }: BootFiles, sandbox: readonly string[]): readonly string[] {
  return [
    ...[TSVMM, 'run', '--hypervisor', 'kvm', ...sandbox, '--no-syslog', '--mem', String(MEMORY)],
    ...['--block', disk, '--initrd', initrd, '--params', PARAMETERS, kernel],
  ];
}

/** The machine that QEMU has for PCI Express, with what ours has. */
function qemuParameters({ kernel, initrd, disk }: BootFiles): readonly string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
    ...['-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', String(MEMORY)],
    ...['-drive', `if=none,id=disk,format=raw,file=${disk}`],
    ...['virtio-blk-pci,drive=disk', 'virtio-rng-pci', 'virtio-balloon-pci', 'pvpanic-pci'].flatMap(
      (device) => ['-device', device],
    ),
    ...['-kernel', kernel, '-initrd', initrd, '-append', `panic=-1 console=ttyS0 ${PARAMETERS}`],
  ];
}

/** Milliseconds from the start of a program until its guest prints the mark. */
async function timeToMark(program: string, parameters: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const hang = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  let console = '';
  let time: number | undefined;
  for await (const text of child.stdout.setEncoding('latin1')) {
    console += text;
    if (time !== undefined || !new RegExp(`^${MARK}`, 'm').test(console)) continue;
    time = performance.now() - start;
    // Its end is in order: what Node has compiled is kept for the next round then, as it is for users.
    child.kill('SIGTERM');
  }
  clearTimeout(hang);
  await closed;
  if (time === undefined) throw new Error(`${program} did not get to the mark:\n${errors}${console}`);
  return time;
}
