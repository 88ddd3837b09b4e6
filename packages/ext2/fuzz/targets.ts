import { execFileSync } from 'node:child_process';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { MemoryStorage, RawDisk } from '@tsvmm/disk';
import type { FuzzTargets } from '../../../tools/fuzz/target.ts';
import { Ext2Error, makeFilesystem, planFilesystem, readTar } from '../src/index.ts';
import { sealHeaders } from '../test/support/tar.ts';

/** What can be fuzzed, by the name that the command line takes. */
export const TARGETS: FuzzTargets = { tar: { seeds: tarSeeds, exercise: exerciseTar } };

const BLOCK = 512;
/** Bytes of the file system that an archive is put into. */
const SIZE = 4 * 2 ** 20;
const MAX_ENTRIES = 10_000;

/**
 * Reads an archive, plans a file system for it and makes one. All that may come of hostile bytes is an {@link Ext2Error}.
 * Each input is tried with its checksums made right too, so that changes get past them.
 */
async function exerciseTar(input: Uint8Array): Promise<void> {
  for (const bytes of [input, sealed(input)]) {
    await refusesOrWorks(() => readAll(bytes));
    await refusesOrWorks(() => planFilesystem(readTar(pieces(bytes)), { journal: false }));
    await refusesOrWorks(async () => {
      const storage = new MemoryStorage();
      storage.resize(SIZE);
      await makeFilesystem(new RawDisk(storage), readTar(pieces(bytes)), { journal: false });
    });
  }
}

async function readAll(bytes: Uint8Array): Promise<void> {
  let entries = 0;
  for await (const entry of readTar(pieces(bytes))) {
    if (++entries > MAX_ENTRIES) throw new Error('more entries than there can be');
    if (entry.type !== 'file' || entries % 2 === 0) continue;
    let end = 0;
    for await (const { position, bytes: chunk } of entry.content()) {
      if (position < end || chunk.length === 0) throw new Error('contents that do not go forwards');
      end = position + chunk.length;
    }
    if (end > entry.size) throw new Error('more contents than the file has bytes');
  }
}

/** Chunks of odd lengths, as a pipe gives them. */
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 3001) yield bytes.subarray(at, at + 3001);
}

/** With the right sums in all blocks that are marked as headers. */
function sealed(input: Uint8Array): Uint8Array {
  const bytes = Buffer.from(input);
  sealHeaders(bytes);
  return bytes;
}

async function refusesOrWorks(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Ext2Error)) throw error;
  }
}

/** By Python's tarfile, which has all the formats and lets headers be anything. Sparse files are what only GNU tar makes. */
const PROGRAM = `
import tarfile, io, json, base64, os, subprocess, tempfile
def archive(format, sparse=False):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=format) as t:
        def add(name, type=tarfile.REGTYPE, data=b'', pax=None, **more):
            i = tarfile.TarInfo(name); i.type = type; i.size = len(data); i.mtime = 1234567890
            if pax and format == tarfile.PAX_FORMAT: i.pax_headers = pax
            for key in more: setattr(i, key, more[key])
            t.addfile(i, io.BytesIO(data))
        add('d', tarfile.DIRTYPE, mode=0o755)
        add('d/file', data=b'contents ' * 100, uid=1000, gid=1000, pax={
            'mtime': '123.456', 'atime': '-1.5', 'SCHILY.xattr.user.name': 'value',
            'LIBARCHIVE.xattr.user.other': 'dmFsdWU=', 'RHT.security.selinux': 'label',
            'SCHILY.acl.access': 'user::rw-,user:1000:r--,group::r--,mask::r--,other::---'})
        add('d/empty')
        add('hard', tarfile.LNKTYPE, linkname='d/file')
        add('soft', tarfile.SYMTYPE, linkname='d/file')
        add('null', tarfile.CHRTYPE, devmajor=1, devminor=3)
        add('block', tarfile.BLKTYPE, devmajor=259, devminor=3)
        add('fifo', tarfile.FIFOTYPE)
        if format != tarfile.USTAR_FORMAT:
            add('l' * 150 + '/' + 'm' * 60, data=b'long')
            add('far', tarfile.SYMTYPE, linkname='t' * 200)
            add('large', uid=3000000, gid=2**31, data=b'x')
    return out.getvalue()
found = [archive(f) for f in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
with tempfile.TemporaryDirectory() as folder:
    with open(folder + '/sparse', 'wb') as f:
        for i in range(30): f.seek(i * 100000); f.write(b'piece')
    for options in (['--format=gnu'], ['--format=pax', '--sparse-version=0.0'],
                    ['--format=pax', '--sparse-version=0.1'], ['--format=pax', '--sparse-version=1.0'], ['--format=v7']):
        sparse = [] if 'v7' in options[0] else ['--sparse']
        if not sparse: os.truncate(folder + '/sparse', 700)
        found.append(subprocess.check_output(['tar', *options, *sparse, '-C', folder, '-cf', '-', 'sparse']))
print(json.dumps([base64.b64encode(bytes).decode() for bytes in found]))
`;

async function tarSeeds(): Promise<readonly Uint8Array[]> {
  const output = execFileSync('python3', ['-c', PROGRAM], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  const list: unknown = JSON.parse(output);
  const archives = (Array.isArray(list) ? list : []).map((text) => Buffer.from(String(text), 'base64'));
  // Archives end with records of 10 KiB, of which two blocks are enough.
  const trimmed = archives.map((bytes) => bytes.subarray(0, lastByte(bytes) + 2 * BLOCK));
  const [first = Buffer.alloc(0)] = trimmed;
  return [...trimmed, gzipSync(first), zstdCompressSync(first)];
}

function lastByte(bytes: Uint8Array): number {
  return Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / BLOCK) * BLOCK;
}
