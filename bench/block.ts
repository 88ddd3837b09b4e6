import { execFileSync, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtempDisposable, open, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDisk } from '../packages/disk/src/index.ts';
import { makeFilesystem, planFilesystem, scanDirectory } from '../packages/ext2/src/index.ts';
import { fetchGuest } from '../packages/guest-image/src/index.ts';
import { GuestShell, PROMPT } from '../tools/guest-shell.ts';
import type { BenchmarkRow } from './run.ts';
import { FIO_JOBS, type FioJob, type FioResult, fioOptions, parseFio } from './support/fio.ts';
import { hostTime } from './support/processor-time.ts';
import { median } from './support/timing.ts';

const TSVMM = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const MIB = 2 ** 20;
const MEMORY = 256;
const DISK_SIZE = 128 * MIB;
/** A disk in memory, where there is one: its own time is the least. */
const RAM_DISK = '/dev/ram0';
const ROUNDS = 3;
const WARM_UP_ROUNDS = 1;
const SECONDS = 4;

export const description =
  "fio in a guest on KVM: the virtio disk, jailed and in one process, against QEMU's with an I/O thread";

/** What a job cost a machine. */
interface Measurement extends FioResult {
  /** Microseconds of the host's processors for a request, vCPUs apart. */
  readonly processorTime: number;
}

/**
 * Where there is no KVM, the lab has one: `pnpm kvm-lab run x86_64 -- node bench/run.ts block`.
 *
 * All machines run at once, on the same kernel, initrd and disks; they do each job in turn, one at a time, so that what else
 * the host does hits all alike.
 */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  if (process.arch !== 'x64') throw new Error('This benchmark needs an x86_64 host with KVM');
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tsvmm-block-'));
  const files = await prepare(directory.path);
  await using machines = new AsyncDisposableStack();
  const start = async (program: string, parameters: readonly string[]) =>
    machines.use(await Machine.boot(program, parameters));
  const peer = await start('qemu-system-x86_64', qemuParameters(files));
  const ours = {
    jailed: await start(process.execPath, tsvmmParameters(files)),
    'one process': await start(process.execPath, tsvmmParameters(files, '--disable-sandbox')),
  };
  const measured = new Map<Machine, Measurement[]>();
  for (const job of FIO_JOBS) {
    for (const machine of [peer, ...Object.values(ours)]) measured.set(machine, []);
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
      for (const [machine, results] of measured) {
        const result = await machine.measure(job);
        if (round >= 0) results.push(result);
      }
    }
    for (const [name, machine] of Object.entries(ours)) {
      compare(`${job.name}, ${name}`, measured.get(machine) ?? [], measured.get(peer) ?? [], report);
    }
  }
}

function compare(
  job: string,
  ours: readonly Measurement[],
  peers: readonly Measurement[],
  report: (row: BenchmarkRow) => void,
): void {
  const row = (what: string, unit: string, value: (measurement: Measurement) => number, isRate = false) => {
    const [our, peer] = [median(ours.map(value)), median(peers.map(value))];
    report({ what: `${job}: ${what}`, ours: our, peer, unit, ratio: isRate ? our / peer : peer / our });
  };
  row('requests', '1/s', ({ rate }) => rate, true);
  row('latency, half', 'us', (measurement) => measurement.median);
  row('latency, 99 %', 'us', ({ percentile99 }) => percentile99);
  row("host's CPU a request", 'us', ({ processorTime }) => processorTime);
}

interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
  /** What is measured. */
  readonly disk: string;
  /** A file system with fio. */
  readonly tools: string;
}

async function prepare(directory: string): Promise<GuestFiles> {
  const { kernel, initrd } = await fetchGuest({ architecture: process.arch });
  const isRamDisk = (await stat(RAM_DISK).catch(() => undefined))?.isBlockDevice() === true;
  const disk = isRamDisk ? RAM_DISK : join(directory, 'disk');
  if (!isRamDisk) await writeFile(disk, '');
  await using file = await open(disk, 'r+');
  const piece = Buffer.alloc(MIB, 'tsvmm ');
  for (let position = 0; position < DISK_SIZE; position += MIB) await file.write(piece, 0, MIB, position);
  await file.sync();
  return { kernel, initrd, disk, tools: await packFio(directory) };
}

/** The host's fio and its libraries: too many for an initramfs, of which the guest would have to hold all. */
async function packFio(directory: string): Promise<string> {
  const [fio, libraries] = [join(directory, 'fio'), join(directory, 'tools.img')];
  await mkdir(fio);
  const program = execFileSync('which', ['fio'], { encoding: 'utf8' }).trim();
  const needed = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const path of [program, ...needed]) await copyFile(path, join(fio, basename(path)));
  const plan = await planFilesystem(scanDirectory(fio));
  await using image = await createDisk(libraries, { format: 'raw', size: plan.size });
  await makeFilesystem(image, scanDirectory(fio), plan);
  return libraries;
}

const PARAMETERS = 'quiet';

function tsvmmParameters(files: GuestFiles, ...options: readonly string[]): readonly string[] {
  const { kernel, initrd, disk, tools } = files;
  return [
    ...[TSVMM, 'run', '--hypervisor', 'kvm', '--no-syslog', '--log-level', 'warn', '--mem', String(MEMORY)],
    ...['--block', `${disk},direct,lock=false`, '--block', `${tools},ro,lock=false`, ...options],
    ...['--initrd', initrd, '--params', PARAMETERS, kernel],
  ];
}

/** What QEMU's manual recommends for speed: no page cache, the kernel's own asynchronous I/O, a thread for the disk. */
function qemuParameters({ kernel, initrd, disk, tools }: GuestFiles): readonly string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
    ...['-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', String(MEMORY), '-object', 'iothread,id=io'],
    ...['-drive', `if=none,id=disk,format=raw,cache=none,aio=io_uring,file.locking=off,file=${disk}`],
    ...['-device', 'virtio-blk-pci,drive=disk,iothread=io'],
    ...['-drive', `if=none,id=tools,format=raw,readonly=on,file.locking=off,file=${tools}`],
    ...[
      '-device',
      'virtio-blk-pci,drive=tools',
      '-device',
      'virtio-rng-pci',
      '-device',
      'virtio-balloon-pci',
    ],
    ...['-kernel', kernel, '-initrd', initrd, '-append', `panic=-1 console=ttyS0 ${PARAMETERS}`],
  ];
}

/** A guest at whose shell jobs are started. */
class Machine implements AsyncDisposable {
  readonly #pid: number;
  readonly #shell: GuestShell;

  private constructor(pid: number, shell: GuestShell) {
    this.#pid = pid;
    this.#shell = shell;
  }

  static async boot(program: string, parameters: readonly string[]): Promise<Machine> {
    const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
    const shell = new GuestShell(child);
    await shell.until(PROMPT);
    await shell.run('mkdir /fio && mount -o ro /dev/vdb /fio');
    return new Machine(child.pid ?? 0, shell);
  }

  async measure(job: FioJob): Promise<Measurement> {
    const options = fioOptions(job, '/dev/vda', SECONDS).join(' ');
    const before = hostTime(this.#pid);
    // The console costs time, too: its turn comes when the job has ended.
    await this.#shell.run(
      `/fio/ld-linux-x86-64.so.2 --library-path /fio /fio/fio ${options} >/tmp/result 2>&1`,
    );
    const time = hostTime(this.#pid) - before;
    const result = parseFio(await this.#shell.run('cat /tmp/result'), job);
    return { ...result, processorTime: (1e6 * time) / result.requests };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shell[Symbol.asyncDispose]();
  }
}
