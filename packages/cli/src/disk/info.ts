import { type DiskInfo, diskChain, diskInfo } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import { formatOption, isGiven, operand } from './arguments.ts';
import { longBytes, shortBytes } from './bytes.ts';

/** `tsvmm disk info` */
export async function info({ line, messages }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const options = {
    ...formatOption(line),
    lock: false,
    onWarning: (message: string) => messages.warn(message),
  };
  const isChain = isGiven(line, 'backing-chain');
  const images = isChain ? await diskChain(path, options) : [await diskInfo(path, options)];
  if (isGiven(line, 'json')) {
    const objects = images.map(toQemu);
    print(`${JSON.stringify(isChain ? objects : objects[0], undefined, 2)}\n`);
  } else {
    print(images.map(describe).join('\n'));
  }
  return ExitStatus.success;
}

/** The object that `qemu-img info --output=json` prints. */
function toQemu({ path, format, size, allocatedSize, qcow2, components }: DiskInfo): object {
  return {
    filename: path,
    format,
    'virtual-size': size,
    'actual-size': allocatedSize,
    'dirty-flag': qcow2?.isDirty ?? false,
    ...(qcow2 && {
      'cluster-size': qcow2.clusterSize,
      ...(qcow2.backingFile !== undefined && { 'backing-filename': qcow2.backingFile }),
      ...(qcow2.backingPath !== undefined && { 'full-backing-filename': qcow2.backingPath }),
      ...(qcow2.backingFormat !== undefined && { 'backing-filename-format': qcow2.backingFormat }),
      ...(qcow2.snapshots.length > 0 && {
        snapshots: qcow2.snapshots.map(({ id, name, seconds, nanoseconds, vmClock, vmStateSize }) => ({
          id,
          name,
          'vm-state-size': vmStateSize,
          'date-sec': seconds,
          'date-nsec': nanoseconds,
          'vm-clock-sec': Number(vmClock / 1_000_000_000n),
          'vm-clock-nsec': Number(vmClock % 1_000_000_000n),
        })),
      }),
      'format-specific': {
        type: 'qcow2',
        data: {
          compat: qcow2.version === 2 ? '0.10' : '1.1',
          'compression-type': qcow2.compressionType,
          'refcount-bits': qcow2.refcountBits,
          ...(qcow2.version === 3 && {
            'lazy-refcounts': qcow2.lazyRefcounts,
            corrupt: qcow2.isCorrupt,
            'extended-l2': qcow2.extendedL2,
          }),
          ...(qcow2.dataFile !== undefined && {
            'data-file': qcow2.dataFile,
            'data-file-raw': qcow2.isDataFileRaw,
          }),
        },
      },
    }),
    ...(components && {
      'format-specific': {
        type: 'composite',
        data: {
          components: components.map((part) => ({
            path: part.path,
            offset: part.offset,
            writable: part.writable,
          })),
        },
      },
    }),
  };
}

/** The same for people. */
function describe({ path, format, size, allocatedSize, qcow2, components }: DiskInfo): string {
  const rows: (readonly [string, string])[] = [
    ['image', path],
    ['format', format],
    ['size', longBytes(size)],
    ['on disk', shortBytes(allocatedSize)],
  ];
  if (qcow2) {
    const { version, clusterSize, refcountBits, compressionType } = qcow2;
    rows.push(['version', `${version} (compat ${version === 2 ? '0.10' : '1.1'})`]);
    rows.push(['clusters', `${shortBytes(clusterSize)}, ${refcountBits}-bit refcounts, ${compressionType}`]);
    const features = [
      ...(qcow2.extendedL2 ? ['extended L2 entries'] : []),
      ...(qcow2.lazyRefcounts ? ['lazy refcounts'] : []),
    ];
    if (features.length > 0) rows.push(['features', features.join(', ')]);
    if (qcow2.isDirty) rows.push(['state', 'not closed properly: refcounts are rebuilt at the next writing']);
    if (qcow2.isCorrupt) rows.push(['state', 'marked corrupt: tsvmm disk check -r all repairs it']);
    if (qcow2.dataFile !== undefined) {
      rows.push(['data file', qcow2.dataFile + (qcow2.isDataFileRaw ? ' (raw)' : '')]);
    }
    if (qcow2.backingFile !== undefined) {
      rows.push(['backing', `${qcow2.backingFile} (${qcow2.backingFormat ?? 'format not recorded'})`]);
    }
    for (const { id, name, seconds, diskSize } of qcow2.snapshots) {
      rows.push([
        'snapshot',
        `${id} ${name}, ${new Date(seconds * 1000).toISOString()}, ${shortBytes(diskSize)}`,
      ]);
    }
  }
  for (const { path: part, offset, writable } of components ?? []) {
    rows.push(['part', `${part} at ${offset}${writable ? ', writable' : ''}`]);
  }
  return rows.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}\n`).join('');
}
